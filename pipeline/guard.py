"""Which addresses may be called: the answer to server-side request forgery.

Rules. A URL is judged by its text only where text is certain (scheme, port, user info, spelling of the host);
everything else is judged by the address that will be connected to, so no spelling, redirect, DNS answer or rebinding
gets around it. Whoever connects asks `Guard.check_address` about *every* answer of the resolver and connects to one of
those very addresses; the table is `pipeline.networks`. What this product itself listens on, its brokers and its
registry are refused by address and port (`Guard.deny`), whatever an operator has opened: a request to them could be one
in Kafka's protocol.

Source: WHATWG URL "ends in a number".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

import msgspec

from pipeline.errors import AddressBlocked, DeclarationInvalid
from pipeline.networks import BAD_PORTS, PRIVATE, Address, address_of, is_loopback, rule_against, unmapped

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z", re.ASCII)
_ENDS_IN_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z", re.ASCII)
_OWN = "a part of this very system (its gateway, a broker, the registry)"
ANY_HERE = "*"
"""In `Guard.deny`: every address of this machine."""


class Target(msgspec.Struct, frozen=True):
    """Where a checked URL leads: connect to ``host`` (a name or bare address), ask for ``path`` (with its query)."""

    tls: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The ``Host`` header: an IPv6 address in brackets, the port unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class Guard:
    """The rules of one process.

    ``allow``: networks an operator opens (they win over every rule about addresses; say so loudly in the log).
    ``allow_loopback``: loopback may be called, by plain http too. ``allow_http``: plain http anywhere. ``ports``: the
    only ports that may be called; None means all but those where something other than HTTP listens.
    """

    __slots__ = ("_allow", "_allow_http", "_allow_loopback", "_own", "_ports")

    def __init__(
        self,
        allow: Sequence[str] = (),
        *,
        allow_loopback: bool = False,
        allow_http: bool = False,
        ports: frozenset[int] | None = None,
    ) -> None:
        self._allow = tuple(_network(text) for text in allow)
        self._allow_loopback = allow_loopback
        self._allow_http = allow_http
        self._ports = ports
        self._own: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def for_operators(cls) -> Guard:
        """For URLs out of the configuration (registry, egress proxy): private networks, loopback, plain http too, but
        no more metadata services, spellings or mail servers than anybody.
        """
        return cls(PRIVATE, allow_loopback=True, allow_http=True)

    def deny(self, places: Iterable[tuple[str, int]]) -> None:
        """From now on refuse these names and addresses at these ports, whatever is allowed; `ANY_HERE` names every
        address of this machine.
        """
        self._own |= {(_canonical(name), port) for name, port in places}

    def check_url(self, url: str) -> Target:
        """Where `url` leads, if its text is acceptable; a literal address is judged at once. Raises `AddressBlocked`.

        Call it when a subscription is made, when it is edited, and again before connecting.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise AddressBlocked("endpoint", "its URL", "not a URL that can be read in one way only") from None
        tls = parts.scheme == "https"
        if parts.scheme not in ("http", "https") or not host or re.search(r"[^\x21-\x7e]|\\", url):
            raise AddressBlocked(host or "endpoint", "its URL", "not http or https in printable ASCII")
        if "@" in parts.netloc:
            raise AddressBlocked(host, "its URL", "carrying user information, which belongs into a header")
        if "#" in url:
            raise AddressBlocked(host, "its URL", "carrying a fragment, which no server is ever sent")
        literal = _check_host(host)
        if parts.netloc.lower() not in (authority := f"[{host}]" if ":" in host else host, f"{authority}:{port}"):
            raise AddressBlocked(host, "its URL", "spelled in an unusual way")
        port = (443 if tls else 80) if port is None else port
        self._check_port(host, port)
        if (host, port) in self._own:
            raise AddressBlocked(host, f"port {port}", _OWN)
        if literal is not None:
            self.check_address(host, host, port)
        if not tls:
            self._check_plain(host, literal)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(tls, host, port, path)

    def check_address(self, host: str, address: str, port: int | None = None) -> None:
        """Raise `AddressBlocked` unless `address` (an answer of the resolver for `host`, or a peer's) may be called."""
        ip = unmapped(address)
        if ip is None:
            raise AddressBlocked(host, address, "not an address")
        if port is not None:
            self._check_own(host, ip, port)
        if any(ip in network for network in self._allow) or (self._allow_loopback and is_loopback(ip)):
            return
        if host == "localhost" and not is_loopback(ip):
            raise AddressBlocked(host, address, "no loopback address, though the name says so")
        rule = rule_against(ip)
        if rule is not None:
            raise AddressBlocked(host, address, rule)

    def check_here(self, host: str, port: int) -> None:
        """The peer turned out to be this machine: raise `AddressBlocked` when `port` is one of our own here."""
        if (ANY_HERE, port) in self._own:
            raise AddressBlocked(host, f"port {port}", _OWN)

    def _check_own(self, host: str, ip: Address, port: int) -> None:
        here = is_loopback(ip) or ip.is_unspecified
        if (str(ip), port) in self._own or (here and (ANY_HERE, port) in self._own):
            raise AddressBlocked(host, f"{ip} port {port}", _OWN)

    def _check_port(self, host: str, port: int) -> None:
        if self._ports is not None and port not in self._ports:
            raise AddressBlocked(host, f"port {port}", f"none of {', '.join(map(str, sorted(self._ports)))}")
        if self._ports is None and port in BAD_PORTS:
            raise AddressBlocked(host, f"port {port}", "where something other than HTTP listens")

    def _check_plain(self, host: str, literal: Address | None) -> None:
        loopback = host == "localhost" or (literal is not None and is_loopback(literal))
        if not self._allow_http and not (self._allow_loopback and loopback):
            raise AddressBlocked(host, "plain http", "refused; use https")


def _check_host(host: str) -> Address | None:
    """The address `host` literally is, None for a DNS name; other spellings (127.1, 0x7f.1, zone ids) are refused."""
    if ":" in host:
        literal = address_of(host)
        if literal is None or "%" in host:
            raise AddressBlocked(host, "its host", "not an IPv6 address without zone")
        return literal
    labels = host.split(".")
    if _ENDS_IN_NUMBER.match(labels[-1]):
        literal = address_of(host)
        if literal is None:
            raise AddressBlocked(host, "its host", "neither a name nor an IPv4 address of four decimal numbers")
        return literal
    if len(host) > 253 or not all(_LABEL.match(label) for label in labels):
        raise AddressBlocked(host, "its host", "not a DNS name (write international names in their xn-- form)")
    return None


def _canonical(name: str) -> str:
    ip = unmapped(name)
    if ip is not None:
        return ANY_HERE if ip.is_unspecified else str(ip)
    return name.lower()


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError:
        raise DeclarationInvalid("/allow", text, "a network such as 10.1.0.0/16") from None
