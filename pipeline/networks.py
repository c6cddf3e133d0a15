"""Which networks and ports are not the public internet's: the table that `pipeline.guard` goes by, pure data.

The table is our own: `ipaddress.is_global` changes between patch releases and calls NAT64, 6to4, `168.63.129.16` and
multicast global. Sources: IANA special-purpose address registries (2026), RFC 6890, RFC 6052, RFC 3056; WHATWG Fetch
"bad port".
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_BLOCKED_V4 = tuple(
    (IPv4Network(network), rule)
    for network, rule in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by carriers"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local (cloud metadata)"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved for protocols"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT relays"),
        ("192.88.99.0/24", "6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarks"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("168.63.129.16/32", "the Azure host"),
    )
)
# IPv6: only global unicast, less what is carved out of it. That denies ::, ::1, v4-compatible, v4-translated, NAT64
# (64:ff9b::/96, 64:ff9b:1::/48), discard-only, SRv6, unique local (AWS fd00:ec2::254), link- and site-local, multicast.
_GLOBAL_V6 = IPv6Network("2000::/3")
_BLOCKED_V6 = tuple(
    (IPv6Network(network), rule)
    for network, rule in (
        ("2001::/23", "reserved for protocols (Teredo, ORCHID, benchmarks)"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4, which hides an IPv4 address"),
        ("3fff::/20", "documentation"),
    )
)
# Where HTTP is not spoken, or a request could do harm: WHATWG Fetch "bad port", ZooKeeper, Kafka.
# fmt: off
BAD_PORTS = frozenset({
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 2181, 3659, 4045, 4190,
    5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9092, 9093, 10080,
})
# fmt: on
_LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
# What an operator's own services (a registry, a proxy) may live on, beside the public internet.
PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")


def is_loopback(ip: Address) -> bool:
    return any(ip in network for network in _LOOPBACK)


def rule_against(ip: Address) -> str | None:
    """Why ``ip`` is not to be called; None: nothing is known against it."""
    if isinstance(ip, IPv4Address):
        return next((rule for network, rule in _BLOCKED_V4 if ip in network), None)
    if ip not in _GLOBAL_V6:
        return "loopback" if ip == IPv6Address("::1") else "outside IPv6 global unicast"
    return next((rule for network, rule in _BLOCKED_V6 if ip in network), None)


def address_of(text: str) -> Address | None:
    """The address ``text`` is, as `ipaddress` reads it; None when it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def unmapped(text: str) -> Address | None:
    """The address, as IPv4 when it is one mapped into IPv6."""
    ip = address_of(text)
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip
