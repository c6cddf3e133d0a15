"""A webhook receiver whose every delivery an independent library has verified."""

from __future__ import annotations

from collections.abc import Mapping

from standardwebhooks.webhooks import Webhook

from pipeline.receiver import Received, Receiver, ReceiverSettings


class Witness:
    """The product's sample receiver; ``standardwebhooks`` has the last word on each signature.

    ``verified`` counts what that library passed; what it refuses is answered 401 and so seen as a failure.
    """

    def __init__(self, settings: ReceiverSettings | None = None) -> None:
        self.receiver = Receiver(settings=settings, also_verify=self._verify)
        self.verified = 0
        self._webhook: Webhook | None = None

    def trust(self, secret: str) -> None:
        self._webhook = Webhook(secret)
        self.receiver.trust(secret)

    def repair(self) -> None:
        """The bug that choked on the poison event is fixed."""
        self.receiver.settings = ReceiverSettings()

    @property
    def attempts(self) -> list[Received]:
        """Every request, in the order in which they came."""
        return list(self.receiver.history)

    @property
    def delivered(self) -> list[Received]:
        return [one for one in self.attempts if one.status == 204]

    def _verify(self, headers: Mapping[str, str], body: bytes) -> None:
        assert self._webhook is not None
        self._webhook.verify(body, dict(headers), json_parse=False)
        self.verified += 1
