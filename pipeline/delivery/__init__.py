"""The delivery core: what to send, when, and how far the cursor may go. No IO, no clock, no chance of its own.

``core`` keeps the rest together; each other file is one rule and can be read alone.
"""
