"""Delivery over HTTP: the only caller of subscribers' endpoints."""
