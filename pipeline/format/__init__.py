"""Formats: how events and data look as bytes, on Kafka and over HTTP."""
