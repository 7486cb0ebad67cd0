"""Where this service may connect to, and all the ways of writing an address that is inside."""

from ipaddress import ip_address

import pytest
from refstar_service.outgoing.endpoint import (
    EndpointError,
    Reach,
    check_addresses,
    parse_endpoint,
    parse_networks,
    parse_ports,
    resolve_host,
)

PUBLIC = ip_address("93.184.215.14")

INSIDE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",  # metadata of most clouds
    "168.63.129.16",  # Azure's
    "192.0.0.192",  # Oracle's
    "100.100.100.200",  # Alibaba's, in the range of carriers
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",  # NAT64
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "64:ff9b:1:7f00:0:100::",  # local NAT64 by RFC 6052, an address in the middle: 127.0.0.1
    "64:ff9b:1:fffe::808:808",
    "::ffff:0:127.0.0.1",  # stateless translation
    "::ffff:0:a9fe:a9fe",
    "2606:2800::5efe:10.0.0.1",  # ISATAP
    "2606:2800::200:5efe:169.254.169.254",
    "fe80::5efe:8.8.8.8",
    "1::1",
    "4000::1",
    "2002:7f00:1::",  # 6to4
    "2002:a9fe:a9fe::1",
    "2001:0:5ef5:79fd:0:59d:80ff:fffe",  # Teredo, of 127.0.0.1
    "fc00::1",
    "fd00:ec2::254",  # Amazon's metadata
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "100::1",
]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_refused_however_it_is_reached(address: str) -> None:
    with pytest.raises(EndpointError, match="not a public address") as caught:
        check_addresses([ip_address(address)], Reach(), secure=True)
    assert address not in str(caught.value)
    with pytest.raises(EndpointError):
        check_addresses([PUBLIC, ip_address(address)], Reach(), secure=True)
    with pytest.raises(EndpointError):
        parse_endpoint(f"https://[{address}]/" if ":" in address else f"https://{address}/")


@pytest.mark.parametrize(
    "address",
    [
        "93.184.215.14",
        "8.8.8.8",
        "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
        "2002:808:808::1",
        "::ffff:0:8.8.8.8",
        "2606:2800::5efe:8.8.8.8",
    ],
)
def test_a_public_address_is_taken(address: str) -> None:
    check_addresses([ip_address(address)], Reach(), secure=True)


def test_networks_that_the_operator_allows_may_be_called_without_tls_too() -> None:
    reach = Reach(parse_networks("10.1.0.0/16, fd00::/8"))
    check_addresses([ip_address("10.1.2.3"), ip_address("fd00::1")], reach, secure=False)
    check_addresses([ip_address("::ffff:10.1.2.3")], reach, secure=True)
    for other in ("10.2.0.1", "127.0.0.1", "169.254.169.254"):
        with pytest.raises(EndpointError):
            check_addresses([ip_address(other)], reach, secure=True)
    with pytest.raises(EndpointError, match="https"):
        check_addresses([PUBLIC], reach, secure=False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "http://hooks.example/",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "gopher://hooks.example/",
        "//hooks.example/",
        "https://",
        "https:///path",
        "https://user@hooks.example/",
        "https://user:password@hooks.example/",
        "https://hooks.example:0/",
        "https://hooks.example:65536/",
        "https://hooks.example:x/",
        "https://hooks.example/#part",
        "https://hooks.example\\@127.0.0.1/",
        "https://hooks.example/a b",
        "https://hooks.example/a\r\nHost: other",
        "https://hooks.example/\x00",
        "https://hööks.example/",
        "https://127.0.0.1%2f@hooks.example/",
        "https://[::1",
        "https://[fe80::1%25eth0]/",
        "https://hooks.example/" + "x" * 2048,
    ],
)
def test_what_is_no_fit_url_is_refused_when_it_is_given(url: str) -> None:
    with pytest.raises(EndpointError):
        parse_endpoint(url)


def test_the_parts_of_a_url() -> None:
    there = parse_endpoint("https://Hooks.Example:8443/a/b?c=d&e", Reach(ports=parse_ports("8443")))
    assert (there.host, there.port, there.target) == ("hooks.example", 8443, "/a/b?c=d&e")
    assert there.authority == "hooks.example:8443"
    assert parse_endpoint("https://hooks.example").target == "/"
    assert parse_endpoint("https://hooks.example").authority == "hooks.example"
    assert parse_endpoint("https://[2606:2800::1]/").authority == "[2606:2800::1]"


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "017700000001", "127.1", "localhost"])
async def test_other_spellings_of_this_machine_are_found_out_when_they_are_resolved(host: str) -> None:
    parse_endpoint(f"https://{host}/")  # a name like any other, until the resolver is asked
    with pytest.raises(EndpointError):
        check_addresses(await resolve_host(host, 443), Reach(), secure=True)


async def test_a_name_without_an_address() -> None:
    with pytest.raises(EndpointError, match="cannot be resolved"):
        await resolve_host("a" * 64 + ".invalid", 443)  # no resolver need be asked
    with pytest.raises(EndpointError):
        check_addresses([], Reach(), secure=True)


def test_only_ports_of_the_setting_are_called() -> None:
    for url in ("https://hooks.example/", "https://hooks.example:443/", "https://hooks.example:80/"):
        assert parse_endpoint(url).host == "hooks.example"
    for port in (22, 25, 6379, 8443):
        with pytest.raises(EndpointError, match=f"port {port} is not among"):
            parse_endpoint(f"https://hooks.example:{port}/")
    reach = Reach(ports=parse_ports("443, 8000-8002"))
    assert parse_endpoint("https://hooks.example:8002/", reach).port == 8002
    for port in (80, 8003):
        with pytest.raises(EndpointError, match="port"):
            parse_endpoint(f"https://hooks.example:{port}/", reach)
    with pytest.raises(EndpointError, match="port"):  # also inside
        parse_endpoint("http://10.1.2.3:6379/", Reach(parse_networks("10.0.0.0/8")))
