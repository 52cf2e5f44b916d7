"""The outbound policy: which addresses http nodes may call.

Authors of workflows must not reach, through the server, what only its own network can reach: loopback,
private and link-local addresses, metadata services. All addresses of a name are checked, and the connection
then goes to one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from infraweave.core.records import frozen

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

#: Metadata and control addresses of clouds outside the private ranges.
_METADATA = frozenset(map(ip_address, ("168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254")))
#: IPv6 networks with an embedded IPv4 address, and the number of bits after it.
_EMBEDDING = (
    (IPv6Network("::/96"), 0),  # IPv4-compatible
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("2002::/16"), 80),  # 6to4
)
#: Reserved networks that ``is_global`` accepts in some releases of Python.
_RESERVED = tuple(
    map(
        ip_network,
        (
            *("64:ff9b:1::/48", "fec0::/10", "2001::/23", "100::/64"),
            *("2002::/16", "192.88.99.0/24"),  # 6to4, deprecated by RFC 7526
            "192.0.0.0/24",
        ),
    )
)


class OutboundRefused(Exception):
    """The outbound policy does not allow the request."""


@frozen
class AllowedTarget:
    """A host name or a network that may be called, on one port or on all."""

    host: str | None
    network: Network | None
    port: int | None


def parse_allowed(text: str) -> AllowedTarget:
    """Return the target in ``HOST``, ``HOST:PORT``, an address or a CIDR.

    Raises:
        ValueError: the text is none of these.
    """
    text = text.strip()
    network = _network(text)
    if network is not None:
        return AllowedTarget(None, network, None)
    host, colon, digits = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    host = host if colon else text
    network = None if "/" in host else _network(host.removeprefix("[").removesuffix("]"))
    if network is None and (not host or any(c in "/@:[]*? ,#" for c in host + digits)):
        raise ValueError(
            f"{text!r} is not a host, host:port or network; expected api.local, 10.0.0.5:8080 or 10.0.0.0/8"
        )
    port = _port(digits, text) if colon else None
    return (
        AllowedTarget(_normalize(host), None, port) if network is None else AllowedTarget(None, network, port)
    )


def _port(digits: str, text: str) -> int:
    if not (digits.isascii() and digits.isdecimal() and 0 < int(digits) < 65536):
        raise ValueError(f"{text!r} has no port from 1 to 65535 after its last colon")
    return int(digits)


def _network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _normalize(host: str) -> str:
    return host.rstrip(".").lower()


class OutboundPolicy:
    """The addresses that may be called, with the allowed targets of this server."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """Take targets as ``parse_allowed`` reads them; raise its ValueError."""
        self._allowed = [parse_allowed(text) for text in allowed]

    def check(self, host: str, port: int, addresses: Iterable[str]) -> list[str]:
        """Return the addresses of a host if all of them may be called.

        Raises:
            OutboundRefused: one of them may not.
        """
        addresses = list(addresses)
        if any(a.host == _normalize(host) and a.port in (None, port) for a in self._allowed):
            return addresses
        for text in addresses:
            self._check(host, port, text)
        return addresses

    def _check(self, host: str, port: int, text: str) -> None:
        given, *embedded = _with_embedded(ip_address(text.partition("%")[0]))
        for address in () if self._is_allowed(given, port) else (given, *embedded):
            kind = _forbidden_kind(address)
            if kind is not None and not self._is_allowed(address, port):
                target = host if host == text else f"{host} ({text})"
                raise OutboundRefused(
                    f"{target} is {kind} and may not be called;"
                    f" `--allow-outbound {_target(host, port)}` lets workflows call it"
                )

    def _is_allowed(self, address: Address, port: int) -> bool:
        networks = (a.network for a in self._allowed if a.network is not None and a.port in (None, port))
        return any(address in network for network in networks if network.version == address.version)


def _target(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _with_embedded(address: Address) -> Iterator[Address]:
    """Yield an address and the IPv4 address in it: IPv6 has several ways to embed one."""
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    else:
        yield address
        yield from (
            IPv4Address(int(address) >> bit & 0xFFFFFFFF) for net, bit in _EMBEDDING if address in net
        )
        if int(address) >> 32 & 0xFCFFFFFF == 0x5EFE:  # ISATAP
            yield IPv4Address(int(address) & 0xFFFFFFFF)


def _forbidden_kind(address: Address) -> str | None:
    """Return the kind of an address that may not be called, or None."""
    if address in _METADATA or address == IPv4Address("169.254.169.254"):
        return "a metadata address"
    if isinstance(address, IPv6Address) and address in IPv6Network("64:ff9b::/96"):
        return None  # its embedded address decides
    for kind in ("unspecified", "loopback", "link_local", "multicast"):
        if getattr(address, f"is_{kind}"):
            return f"{'an' if kind == 'unspecified' else 'a'} {kind.replace('_', '-')} address"
    reserved = address.is_reserved or any(
        address in net for net in _RESERVED if net.version == address.version
    )
    if reserved:
        return "a reserved address"
    return None if address.is_global else "a private address"
