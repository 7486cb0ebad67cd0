"""Where a webhook may go. What a client writes into a URL must not make this service talk to its own neighbors.

A URL is looked at twice: when it is given (form, scheme, addresses written as such), and at every delivery, when its
name is resolve_host once and the connection is made to the very addresses that were checked. A name with one forbidden
address is forbidden as a whole.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[list[Address]]]

LONGEST_URL = 2048  # characters
#: Public by their numbers, and inside all the same: the host's own services at Azure and at Oracle; what was or will be
#: local in IPv6, which older Pythons take for public.
INSIDE = tuple(
    ip_network(network)
    for network in (
        "168.63.129.16/32",
        "192.0.0.0/24",
        "fec0::/10",
        "3fff::/20",
        "5f00::/16",
        "2001:db8::/32",
    )
)
_NAT64 = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))


class EndpointError(ValueError):
    """The message says why, to whoever gave the URL."""


@dataclass(frozen=True)
class Endpoint:
    """`host`: as in the URL's authority, in ASCII. `target`: path and query, as the request line has them."""

    secure: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def parse_endpoint(url: str, allowed: Sequence[Network] = ()) -> Endpoint:
    """The parts of a URL; raises EndpointError. `allowed`: networks inside that may be called, also without TLS."""
    if len(url) > LONGEST_URL:
        raise EndpointError(f"it has {len(url)} characters; at most {LONGEST_URL} are taken")
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise EndpointError("it has characters that must be percent-encoded (or, in the host, in punycode)")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise EndpointError(f"it is no URL: {error}") from error
    if parts.scheme not in ("https", "http") or not host:
        raise EndpointError("it must be an address such as https://example.org/hooks")
    if parts.scheme == "http" and not allowed:
        raise EndpointError("it must begin with https://")
    if parts.username is not None or parts.password is not None:
        raise EndpointError("it must not contain a user name or a password")
    if "\\" in url or "%" in parts.netloc or port == 0:
        raise EndpointError("its host or port is malformed")
    if "#" in url:
        raise EndpointError("it must not have a fragment (#...)")
    literal = _literal(host)
    if literal is not None:
        check_addresses([literal], allowed, secure=parts.scheme == "https")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secure = parts.scheme == "https"
    return Endpoint(secure, host, port or (443 if secure else 80), target)


def check_addresses(addresses: Sequence[Address], allowed: Sequence[Network], *, secure: bool) -> None:
    """Raises EndpointError unless each of these may be called."""
    if not addresses:
        raise EndpointError("its host has no address")
    for address in addresses:
        real = _innermost(address)
        if any(real in network for network in allowed if network.version == real.version):
            continue
        if not secure:
            raise EndpointError("it must begin with https://")
        # The message names no address: what a name means inside is nobody's business outside.
        if not real.is_global or real.is_multicast or any(real in network for network in _inside(real)):
            raise EndpointError("its host is not a public address")


async def resolve_host(host: str, port: int) -> list[Address]:
    """The addresses of a name by this machine's resolver, each once; raises EndpointError if there are none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise EndpointError("its host cannot be resolve_host") from error
    # Without the scope of link-local addresses (fe80::1%eth0), which are forbidden anyway.
    return [ip_address(address) for address in dict.fromkeys(str(row[4][0]).split("%")[0] for row in found)]


def parse_networks(text: str) -> tuple[Network, ...]:
    """Networks from a list such as `10.1.0.0/16, fd00::/8`; raises ValueError."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _inside(address: Address) -> list[Network]:
    return [network for network in INSIDE if network.version == address.version]


def _innermost(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it does: routers unwrap what is checked here."""
    if isinstance(address, IPv4Address):
        return address
    if any(address in network for network in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo:
        return address.teredo[1]
    if int(address) >> 32 == 0 and int(address) > 1:  # ::a.b.c.d, long out of use
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
