"""What `pipeline.kafka.view` is made of. Decisions: segment, stream, feed, board. Doing: reader, refetch.

Nobody outside ``pipeline.kafka`` imports from here; read ``docs/design.md`` (Log view) first.
"""
