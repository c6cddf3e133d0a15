"""Events on ordered Kafka topics: pulled by cursor, or pushed to webhooks, from one log.

The public door is small on purpose; see ``docs/design.md`` for the map of the house.
"""

__version__ = "0.1.0"
