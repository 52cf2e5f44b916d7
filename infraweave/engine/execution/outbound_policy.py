"""The outbound guard: which addresses the server may call on behalf of a workflow.

Whoever may publish a workflow must not be able to reach, through the server, what only the server's own
network can: loopback, private and link-local addresses, metadata services. Judged are the addresses that a
name resolves to, every one of them, and the connection then goes to one that was judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from attrs import frozen

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

#: Metadata and control addresses of clouds that are not private by their looks.
_METADATA = frozenset(map(ip_address, ("168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254")))
#: IPv6 networks that carry an IPv4 address, and the bit at which that ends.
_CARRIERS = (
    (IPv6Network("::/96"), 0),  # IPv4-compatible
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("2002::/16"), 80),  # 6to4
)
#: What ``is_global`` lets through, in this or that release of Python.
_NEVER = tuple(
    map(
        ip_network,
        (
            *("64:ff9b:1::/48", "fec0::/10", "2001::/23", "100::/64"),
            *("2002::/16", "192.88.99.0/24"),  # 6to4, given up by RFC 7526
            "192.0.0.0/24",
        ),
    )
)


class OutboundRefused(Exception):
    """The guard lets nothing out there."""


@frozen
class Allowed:
    """One exception to the guard: a host name, or a network; for one port, or for all."""

    host: str | None
    network: Network | None
    port: int | None


def parse_allowed(text: str) -> Allowed:
    """Return the exception that ``HOST``, ``HOST:PORT`` or a CIDR spells; an address is a network of one.

    Raises:
        ValueError: it is none of these.
    """
    text = text.strip()
    network = _network(text)
    if network is not None:
        return Allowed(None, network, None)
    host, colon, digits = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    host = host if colon else text
    network = None if "/" in host else _network(host.removeprefix("[").removesuffix("]"))
    if network is None and (not host or any(c in "/@:[]*? ,#" for c in host + digits)):
        raise ValueError(
            f"{text!r} is no host, host:port or network; expected api.local, 10.0.0.5:8080 or 10.0.0.0/8"
        )
    port = _port(digits, text) if colon else None
    return Allowed(_normal(host), None, port) if network is None else Allowed(None, network, port)


def _port(digits: str, text: str) -> int:
    if not (digits.isascii() and digits.isdecimal() and 0 < int(digits) < 65536):
        raise ValueError(f"{text!r} has no port from 1 to 65535 after its last colon")
    return int(digits)


def _network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _normal(host: str) -> str:
    return host.rstrip(".").lower()


class OutboundPolicy:
    """What may be called, with the exceptions of this server."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """Take exceptions as ``parse_allowed`` reads them; raises its ValueError."""
        self._allowed = [parse_allowed(text) for text in allowed]

    def check(self, host: str, port: int, addresses: Iterable[str]) -> list[str]:
        """Return the addresses of a host, all of them judged.

        Raises:
            OutboundRefused: one of them may not be called.
        """
        addresses = list(addresses)
        if any(a.host == _normal(host) and a.port in (None, port) for a in self._allowed):
            return addresses
        for text in addresses:
            self._check(host, port, text)
        return addresses

    def _check(self, host: str, port: int, text: str) -> None:
        given, *carried = _faces(ip_address(text.partition("%")[0]))
        for address in () if self._excepted(given, port) else (given, *carried):
            why = _objection(address)
            if why is not None and not self._excepted(address, port):
                target = host if host == text else f"{host} ({text})"
                raise OutboundRefused(
                    f"{target} is {why} and may not be called;"
                    f" `--allow-outbound {_suggested(host, port)}` lets workflows call it"
                )

    def _excepted(self, address: Address, port: int) -> bool:
        networks = (a.network for a in self._allowed if a.network is not None and a.port in (None, port))
        return any(address in network for network in networks if network.version == address.version)


def _suggested(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _faces(address: Address) -> Iterator[Address]:
    """Yield an address and what it stands for: IPv6 has several ways to carry an IPv4 address."""
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    else:
        yield address
        yield from (IPv4Address(int(address) >> bit & 0xFFFFFFFF) for net, bit in _CARRIERS if address in net)
        if int(address) >> 32 & 0xFCFFFFFF == 0x5EFE:  # ISATAP
            yield IPv4Address(int(address) & 0xFFFFFFFF)


def _objection(address: Address) -> str | None:
    """Return what kind of address it is that may not be called, or None."""
    if address in _METADATA or address == IPv4Address("169.254.169.254"):
        return "a metadata address"
    if isinstance(address, IPv6Address) and address in IPv6Network("64:ff9b::/96"):
        return None  # it is what it carries
    for kind in ("unspecified", "loopback", "link_local", "multicast"):
        if getattr(address, f"is_{kind}"):
            return f"{'an' if kind == 'unspecified' else 'a'} {kind.replace('_', '-')} address"
    reserved = address.is_reserved or any(address in net for net in _NEVER if net.version == address.version)
    if reserved:
        return "a reserved address"
    return None if address.is_global else "a private address"
