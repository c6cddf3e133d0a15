"""Headers by their names. No endpoint may set these itself (threat S15): what delivery writes, what frames a message on
the way, and what receivers' platforms believe of whoever sends. Others carry credentials.
"""

from __future__ import annotations

import re

# Ours: the request line's and body's own, signatures, attributes. Hop by hop: RFC 9110 §7.6.1. Believed by platforms:
# as Svix forbids them (server/svix-server/src/core/types), for a receiver's proxy trusts them to say who called.
_OWNED = re.compile(
    r"""(?:host|content-length|content-type|content-encoding|transfer-encoding|user-agent|expect|connection|keep-alive
    |te|trailer|upgrade|http2-settings|forwarded|via|x-real-ip|x-hub-signature|x-hub-signature-256
    |x-http-method-override|x-http-method|x-method-override)\Z
    |webhook-|ce-|proxy-|x-forwarded-|x-amz-|x-amzn-|x-google-|x-goog-|x-gfe-|x-azure-|cf-|cdn-loop""",
    re.IGNORECASE | re.VERBOSE,
)

# Those that carry credentials by their very name.
_CREDENTIAL = re.compile(
    r"authorization|cookie|x-auth\b|token|secret|passw|api-?key|access-?key|private-?key|credential", re.IGNORECASE
)


def is_owned(name: str) -> bool:
    """Whether the header ``name`` is not an endpoint's to set."""
    return _OWNED.match(name) is not None


def is_credential(name: str) -> bool:
    """Whether the header ``name`` is one to seal, however it was declared."""
    return _CREDENTIAL.search(name) is not None
