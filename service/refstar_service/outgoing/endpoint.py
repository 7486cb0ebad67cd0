"""Where this service may connect to. What a client writes into a URL must not make it talk to its own neighbors.

A URL is looked at twice: when it is given (form, scheme, addresses written as such), and at every connection, when its
name is resolved once and the connection is made to the very addresses that were checked. A name with one forbidden
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
LONGEST_SIGNED_URL = 4096  # characters; what a presigned URL carries of a session's token takes most of it
WEB_PORTS = (range(80, 81), range(443, 444))
#: Public by their numbers, and inside all the same: the host's own services at Azure and at Oracle; what older Pythons
#: do not know to be for documentation.
INSIDE = tuple(
    ip_network(network) for network in ("168.63.129.16/32", "192.0.0.0/24", "3fff::/20", "2001:db8::/32")
)
#: All of IPv6 that is public. What lies outside is local, reserved, or stands for an IPv4 address.
_PUBLIC_IPV6 = ip_network("2000::/3")
#: Whose last 32 bits are an IPv4 address: NAT64 (RFC 6052) and stateless translation (RFC 2765). The local prefix of
#: NAT64 (64:ff9b:1::/48) is not public, wherever in it an IPv4 address may be.
_TRANSLATED = (ip_network("64:ff9b::/96"), ip_network("::ffff:0:0:0/96"))
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # the upper half of the interface's number (RFC 5214)


class EndpointError(ValueError):
    """The message says why, to whoever gave the URL."""


class UnresolvedError(EndpointError):
    """Its name means nothing, now at least."""


@dataclass(frozen=True)
class Reach:
    """What may be called: public addresses by TLS, ``networks`` inside also without, and of either these ``ports``.
    ``settings``: how the settings that say so begin, for messages. ``longest``: characters of a URL."""

    networks: tuple[Network, ...] = ()
    ports: tuple[range, ...] = WEB_PORTS
    settings: str = "REFSTAR_WEBHOOK"
    longest: int = LONGEST_URL


WEBHOOKS = Reach()


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


def parse_endpoint(url: str, reach: Reach = WEBHOOKS) -> Endpoint:
    """The parts of a URL; raises EndpointError, whose message does not repeat it."""
    if len(url) > reach.longest:
        raise EndpointError(f"it has {len(url)} characters; at most {reach.longest} are taken")
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise EndpointError("it has characters that must be percent-encoded (or, in the host, in punycode)")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise EndpointError(f"it is no URL: {error}") from error
    if parts.scheme not in ("https", "http") or not host:
        raise EndpointError("it must be an address such as https://example.org/path")
    if parts.scheme == "http" and not reach.networks:
        raise EndpointError(f"it must begin with https:// ({reach.settings}_NETWORKS)")
    if parts.username is not None or parts.password is not None:
        raise EndpointError("it must not contain a user name or a password")
    if "\\" in url or "%" in parts.netloc or port == 0:
        raise EndpointError("its host or port is malformed")
    if "#" in url:
        raise EndpointError("it must not have a fragment (#...)")
    literal = _literal(host)
    if literal is not None:
        check_addresses([literal], reach, secure=parts.scheme == "https")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secure = parts.scheme == "https"
    port = port or (443 if secure else 80)
    if not any(port in some for some in reach.ports):
        raise EndpointError(f"its port {port} is not among those that may be called ({reach.settings}_PORTS)")
    return Endpoint(secure, host, port, target)


def check_addresses(addresses: Sequence[Address], reach: Reach, *, secure: bool) -> None:
    """Raises EndpointError unless each of these may be called."""
    if not addresses:
        raise EndpointError("its host has no address")
    for address in addresses:
        for real in _stand_for(address):
            if any(real in network for network in reach.networks if network.version == real.version):
                continue
            if not secure:
                raise EndpointError(f"it must begin with https:// ({reach.settings}_NETWORKS)")
            # The message names no address: what a name means inside is nobody's business outside.
            if not _is_public(real):
                raise EndpointError(f"its host is not a public address ({reach.settings}_NETWORKS)")


async def resolve_host(host: str, port: int) -> list[Address]:
    """The addresses of a name by this machine's resolver, each once; raises UnresolvedError if there are none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnresolvedError("its host cannot be resolved") from error
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


def parse_ports(text: str) -> tuple[range, ...]:
    """Ports from a list such as `80, 443, 8000-8999`; raises ValueError."""
    parts = [part.strip().partition("-") for part in text.split(",") if part.strip()]
    return tuple(range(int(first), int(last or first) + 1) for first, _, last in parts)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6:
        return False
    inside = any(address in network for network in INSIDE if network.version == address.version)
    return address.is_global and not address.is_multicast and not inside


def _stand_for(address: Address) -> tuple[Address, ...]:
    """All that a packet to this address may end at: routers and hosts unwrap what IPv6 addresses stand for."""
    if isinstance(address, IPv4Address):
        return (address,)
    number = int(address)
    last = IPv4Address(number & 0xFFFF_FFFF)
    if any(address in network for network in _TRANSLATED):
        return (last,)
    if address.teredo:
        return (address.teredo[1],)
    if number >> 32 == 0 and number > 1:  # ::a.b.c.d, long out of use
        return (last,)
    if inner := address.ipv4_mapped or address.sixtofour:
        return (inner,)
    return (address, last) if number >> 32 & 0xFFFF_FFFF in _ISATAP else (address,)
