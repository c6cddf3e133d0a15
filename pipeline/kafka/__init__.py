"""The only importer of a Kafka client: append, read, offsets, topics and tables, all on one loop.

Read the parts by name (``pipeline.kafka.producer`` …); nothing is re-exported, so importing one part loads no other.
"""
