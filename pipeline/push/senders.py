"""The sender of one run: its subscription's secrets unsealed into a signer, its endpoint behind the guard."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.push.parts import WorkerParts
from pipeline.push.reading import Reading
from pipeline.sealing import unseal
from pipeline.signing import Signer, parse_v1_secret, parse_v1a_secret
from pipeline.subscription import secret_context
from pipeline.webhook.sender import Sender


def make_sender(reading: Reading, parts: WorkerParts, id_prefix: Callable[[str], str]) -> Sender:
    """Raises `FormatUnreadable` when a secret cannot be unsealed with the keys held."""
    spec, secrets = reading.spec, reading.row.secrets
    context = secret_context(spec.name)
    v1 = [parse_v1_secret(unseal(parts.keyring, text, context).decode()) for text in secrets.v1]
    v1a = [parse_v1a_secret(unseal(parts.keyring, text, context).decode()) for text in secrets.v1a]
    return Sender(
        spec,
        signer=Signer(v1, v1a, v1[0] if spec.signing.github and v1 else None),
        guard=parts.guard,
        topic_prefixes=id_prefix,
        defaults=parts.defaults,
        wall_clock=parts.clock.wall,
        run_id=reading.run_id,
        settings=parts.sending,
    )
