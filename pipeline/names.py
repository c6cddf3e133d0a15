"""Names that Kafka, its tools and our own derived names all accept.

Source: Kafka ``Topic.java`` (249 characters, ``[a-zA-Z0-9._-]``). Our own names use ``-`` inside and ``.`` between
parts, never ``_``: Kafka warns of metric collisions where both are mixed.
"""

from __future__ import annotations

import base64
import re

from pipeline.errors import DeclarationInvalid

NAME_CHARACTERS_MAX = 249
# Room for ".", a subscription's name (100) and ".redrive.<id>" or ".dlq" behind a namespace.
_DERIVED_CHARACTERS = 132
_TOPIC = re.compile(r"[a-zA-Z0-9._-]+\Z")
_TOPIC_ID = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]\Z")
_PART = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]*\Z")


def check_topic_name(name: str, *, field: str = "name") -> str:
    """`name` if Kafka takes it as a topic, else `DeclarationInvalid`."""
    if not _TOPIC.match(name) or name in (".", "..") or len(name) > NAME_CHARACTERS_MAX:
        raise DeclarationInvalid(field, name, f"1 to {NAME_CHARACTERS_MAX} characters of a-z A-Z 0-9 . _ -")
    return name


def check_subscription_name(name: str, *, field: str = "/name") -> str:
    """`name` if it may name a subscription or a cursor (it becomes part of a group and of a topic name)."""
    if not _PART.match(name) or len(name) > 100:
        raise DeclarationInvalid(field, name, "1 to 100 characters of a-z A-Z 0-9 -, the first a letter or digit")
    return name


def check_namespace(namespace: str) -> str:
    """`namespace` if groups and topics may start with it."""
    if not _PART.match(namespace) or len(namespace) + _DERIVED_CHARACTERS > NAME_CHARACTERS_MAX:
        raise DeclarationInvalid("namespace", namespace, "1 to 117 characters of a-z A-Z 0-9 -")
    return namespace


def group_of(namespace: str, name: str) -> str:
    """The consumer group whose committed offsets are this subscription's (or cursor's) pointer."""
    return f"{namespace}.{name}"


def dead_letter_topic_of(group: str) -> str:
    """The topic that takes what this group's subscription could not deliver."""
    return f"{group}.dlq"


def topic_id_bytes(topic_id: str) -> bytes:
    """The 16 bytes of a topic id as Kafka writes it: base64url without padding, 22 characters (Kafka ``Uuid.java``)."""
    if not _TOPIC_ID.match(topic_id):
        raise DeclarationInvalid("topic id", topic_id, "22 characters of base64url, as Kafka writes a topic id")
    return base64.urlsafe_b64decode(topic_id + "==")


DEFAULT_NAMESPACE = "app"


def state_topic_of(namespace: str, table: str) -> str:
    """Our own topic ``table`` of a namespace: ``_pipeline-<table>``, with the namespace in it where it is not the
    usual one.

    Namespaces that share a cluster share nothing else: not subscriptions, not attempts, not schemas.
    """
    return f"_pipeline-{table}" if namespace == DEFAULT_NAMESPACE else f"_pipeline-{namespace}-{table}"


def events_topic_of(namespace: str) -> str:
    """The topic of what happens to the namespace's subscriptions; no leading ``_``: operators subscribe to it."""
    return f"{namespace}.pipeline-events"
