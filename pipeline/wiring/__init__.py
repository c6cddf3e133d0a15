"""Wiring: builds every part from the configuration, starts them in order, stops them in reverse. It decides nothing.

It is the one room that knows all others, so that no other has to.
"""

from pipeline.wiring.configured import make_guard, named_instance
from pipeline.wiring.keys import ensure_key_file, make_keyring
from pipeline.wiring.node import Node, started

__all__ = ["Node", "ensure_key_file", "make_guard", "make_keyring", "named_instance", "started"]
