"""Headers of a delivery that no endpoint may set itself (threat S15): what delivery writes, what frames a message on
the way, and what receivers' platforms believe of whoever sends.
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


def is_owned(name: str) -> bool:
    """Whether the header ``name`` is not an endpoint's to set."""
    return _OWNED.match(name) is not None
