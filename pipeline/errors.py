"""One exception tree; the type says whose fault it is, the text says what would be right.

::

    PipelineError
    ├── InputError              what the caller gave cannot be used; nothing was written
    │   ├── EventInvalid            an attribute breaks CloudEvents 1.0
    │   ├── DeclarationInvalid      a topic, subscription or setting does not check
    │   ├── SchemaMismatch          data does not fit the topic's schema
    │   ├── PayloadTooLarge         over a named size limit
    │   ├── CursorMalformed         a token that is none of ours
    │   ├── FilterInvalid           a filter expression that cannot be compiled
    │   ├── SignatureInvalid        a webhook signature, secret or timestamp that does not verify
    │   └── FormatUnreadable        bytes that are not what their content type says
    ├── NotFound                the thing named does not exist
    │   ├── TopicNotFound
    │   ├── SubscriptionNotFound
    │   ├── CursorNotFound
    │   └── SchemaNotFound
    ├── Conflict                the state of things forbids it
    │   ├── VersionConflict         someone else changed it first
    │   ├── GroupActive             a native member holds the consumer group
    │   ├── CursorEpochChanged      the topic was deleted and created again
    │   ├── CursorExpired           retention took what the cursor points at
    │   └── HandshakeRefused        the endpoint did not agree to be sent to
    ├── AddressBlocked          an endpoint resolves to an address that may not be called
    ├── CallFailed              a call to another service that is no delivery did not come to an answer
    ├── LogError                Kafka did not do it
    │   ├── BrokerUnavailable       no answer in time: safe to try again
    │   ├── AppendFailed            the append was refused: trying again will not help
    │   ├── PointerUnreadable       a committed offset that this client cannot read
    │   └── PositionBeyondEnd       a position the log does not reach (truncated, or another topic by that name)
    ├── RegistryError           the schema registry did not do it
    └── EmbeddedError           the embedded Kafka could not be fetched, started or stopped
"""

from __future__ import annotations


class PipelineError(Exception):
    """Root of the tree. ``code`` is the slug of problem documents; ``retryable`` says whether the same call may
    succeed later.
    """

    code = "internal"
    retryable = False


class InputError(PipelineError):
    """What the caller gave cannot be used.

    ``field`` names it (``ce-type``, ``/retry/schedule_s``), ``value`` shows what came
    (cut to 80 characters), ``expected`` says what would be right.
    """

    code = "input-invalid"

    def __init__(self, field: str, value: object, expected: str) -> None:
        shown = value if isinstance(value, str) else repr(value)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        self.field, self.value, self.expected = field, shown, expected
        super().__init__(f"{field}: {shown!r} is not usable; expected {expected}")


class EventInvalid(InputError):
    code = "event-invalid"


class DeclarationInvalid(InputError):
    code = "declaration-invalid"


class SchemaMismatch(InputError):
    code = "schema-mismatch"


class PayloadTooLarge(InputError):
    code = "too-large"


class CursorMalformed(InputError):
    code = "cursor-malformed"


class FilterInvalid(InputError):
    code = "filter-invalid"


class SignatureInvalid(InputError):
    code = "signature-invalid"


class FormatUnreadable(InputError):
    code = "format-unreadable"


class NotFound(PipelineError):
    """The thing named does not exist (or the caller may not know of it)."""

    code = "not-found"
    noun = "thing"

    def __init__(self, name: str, hint: str = "") -> None:
        self.name = name
        super().__init__(f"{self.noun} {name!r} does not exist" + (f"; {hint}" if hint else ""))


class TopicNotFound(NotFound):
    code, noun = "topic-not-found", "topic"


class SubscriptionNotFound(NotFound):
    code, noun = "subscription-not-found", "subscription"


class CursorNotFound(NotFound):
    code, noun = "cursor-not-found", "cursor"


class SchemaNotFound(NotFound):
    code, noun = "schema-not-found", "schema"


class Conflict(PipelineError):
    code = "conflict"


class VersionConflict(Conflict):
    code = "version-conflict"


class GroupActive(Conflict):
    code = "group-active"


class CursorEpochChanged(Conflict):
    code = "cursor-epoch"


class CursorExpired(Conflict):
    code = "cursor-expired"


class HandshakeRefused(Conflict):
    code = "handshake-refused"


class AddressBlocked(PipelineError):
    """``host`` (as configured) resolves to ``address``, which ``rule`` forbids to call."""

    code = "address-blocked"

    def __init__(self, host: str, address: str, rule: str) -> None:
        self.host, self.address, self.rule = host, address, rule
        super().__init__(f"{host} may not be called: {address} is {rule}")


class CallFailed(PipelineError):
    """``detail`` is one line without secrets: what came in place of an answer."""

    code, retryable = "call-failed", True

    def __init__(self, doing: str, detail: str) -> None:
        self.detail = detail
        super().__init__(f"{doing}: {detail}")


class LogError(PipelineError):
    code = "log-error"


class BrokerUnavailable(LogError):
    code, retryable = "broker-unavailable", True


class AppendFailed(LogError):
    code = "append-failed"


class PointerUnreadable(LogError):
    code = "pointer-unreadable"


class PositionBeyondEnd(LogError):
    code = "position-beyond-end"


class RegistryError(PipelineError):
    code, retryable = "registry-error", True


class EmbeddedError(PipelineError):
    code = "embedded-error"
