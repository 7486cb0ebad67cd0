"""Settings of connections to servers that clients name: webhooks, and pictures by URL."""

import re
from ipaddress import ip_network

from pydantic import Field, field_validator

from refstar_service.settings.group import SettingsGroup, split_list


class OutgoingSettings(SettingsGroup):
    """Which servers may be called, and for how long."""

    # ---- webhooks

    webhook_secret: str = Field("", repr=False)
    """Secret that webhooks are signed with in open mode: `whsec_` followed by 24 to 64 random bytes in base64
    (`refstar keys secret` prints a new one). To change it, set two secrets separated by a space, the new one first;
    webhooks are then signed with both. If unset, open mode has no webhooks. API keys have secrets of their own."""

    webhook_networks: str = ""
    """Internal networks that webhooks may be sent to, with or without TLS, such as `10.1.0.0/16,fd00::/8`. Every
    client of the service can make it call these networks. If unset, only public https addresses are called."""

    webhook_ports: str = "80,443"
    """Ports that webhooks may be sent to, such as `80,443,8000-8999`. Every other port is one more service that clients
    can make this one talk to."""

    webhook_timeout: float = Field(20.0, gt=0, le=60)
    """Seconds that a receiver has to respond to a webhook. After that, the attempt has failed and is repeated later."""

    webhook_backlog: int = Field(1000, ge=1)
    """Maximum number of undelivered webhooks of one API key. When it is reached, restorations with a `webhook_url` are
    refused until some have been delivered or given up. Each takes about 2 KB of Redis for up to three days."""

    webhook_courier: bool = True
    """Whether gateways deliver webhooks. With `false`, only `refstar courier` processes do, which can run in a
    network that reaches nothing internal."""

    # ---- pictures by URL

    fetch_urls: bool = True
    """Whether requests may name pictures by URL (`image_url`, `reference_urls`), and where the result is to be put
    (`output_url`). Workers then connect to servers that clients name: public addresses by https only, unless you allow
    more. With `false`, such requests are refused; the files in `deploy/` and the compose file say so, since their
    workers reach nothing outside."""

    url_networks: str = ""
    """Internal networks that these URLs may lead to, with or without TLS, such as `10.1.0.0/16,fd00::/8`. Every
    client of the service can make it fetch pictures from these networks, and write to them. If unset, only public https
    addresses are called."""

    url_ports: str = "80,443"
    """Ports that these URLs may have, such as `443,9000`. Every other port is one more service that clients can make
    this one talk to."""

    url_timeout: float = Field(30.0, gt=0, le=600)
    """Seconds within which all pictures of a restoration must have arrived, with redirects and repeated attempts; and
    again for the delivery of its result. A restoration that waits for them holds one of `transfers_at_once`."""

    url_redirects: int = Field(3, ge=0, le=10)
    """Maximum number of redirects that are followed on the way to a picture. Each is checked like the URL itself."""

    transfers_at_once: int = Field(16, ge=1)
    """Restorations of one worker that may wait for pictures from URLs at the same time, and as many that may wait for
    their results to be delivered. One API key has at most as many of these places as are left free for others, so half
    of them alone; without keys, when all are taken, other restorations wait too. Multiplied by `max_request_bytes`, it
    bounds the memory that such pictures take."""

    @field_validator("webhook_networks", "url_networks")
    @classmethod
    def _check_networks(cls, value: str) -> str:
        for part in split_list(value):
            ip_network(part)  # its ValueError says what is wrong
        return value

    @field_validator("webhook_ports", "url_ports")
    @classmethod
    def _check_ports(cls, value: str) -> str:
        if not re.fullmatch(r"\s*\d{1,5}(-\d{1,5})?(\s*,\s*\d{1,5}(-\d{1,5})?)*\s*", value):
            raise ValueError("must be ports separated by commas, such as 80,443,8000-8999")
        for part in split_list(value):
            first, _, last = part.partition("-")
            if not 1 <= int(first) <= int(last or first) <= 65_535:
                raise ValueError(f"{part!r} is not a port or a range of ports from 1 to 65535")
        return value
