"""Settings of a gateway: who may connect, and what one request may ask for."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from refstar_service.settings.group import KIB, MIB, SettingsGroup, split_list


class GatewaySettings(SettingsGroup):
    """Access to the gateway, and the limits of requests, some of which workers apply too."""

    # ---- access to the gateway

    host: str = "127.0.0.1"
    """Address that the gateway listens on. By default, only this machine can connect. With `0.0.0.0`, everybody who
    can reach the machine can connect: set `access` too."""

    access: Literal["open", "file", "redis"] = "open"
    """Who may use the service. `open`: everybody at this machine; the gateway refuses to start if it would listen
    beyond this machine. `file` and `redis`: holders of an API key, which is stored as a hash in `keys_file`, or in
    Redis, where all gateways see changes at once. `refstar keys add NAME` creates a key."""

    keys_file: Path | None = None
    """File for `access=file`. It is read again whenever it is replaced. Default: `keys.json` in `data_dir`."""

    open_to_network: bool = False
    """Listen beyond this machine without API keys. Use it for a container whose port is published to one machine
    only, or on a network where everybody may see everybody's pictures. It must be said twice: the gateway starts only
    if `REFSTAR_ACCESS=open` is set too, so that a misspelled `REFSTAR_ACCESS` opens nothing."""

    host_names: str = ""
    """Names that the service answers to, besides `localhost`, IP addresses and `host`, separated by commas, such as
    `faces.example.org,gateway`. Requests for other names receive 421, so that no web site can give this machine a name
    of its own and read the answers. If unset, there are no other names in open mode; with API keys, which a foreign
    page does not have, any name is answered to."""

    cors_origins: str = ""
    """Origins of web pages that may use the service from a browser, separated by commas, such as
    `https://app.example.org,http://localhost:3000`. Each is given exactly; there are no wildcards. The service's own
    pages need none. In open mode, every script of a listed origin may do everything."""

    port: int = Field(8000, ge=0, le=65535)
    """Port of the gateway. With 0, a free port is chosen and logged."""

    shutdown_grace: float = Field(10.0, ge=0)
    """Seconds that running requests get after SIGTERM, which matters for uploads and downloads: clients that wait
    for a restoration are answered at once. Keep it below the grace period of the container."""

    max_wait: int = Field(60, ge=0, le=600)
    """Longest `Prefer: wait=n`, in seconds. Longer waits save polling, but hold connections that proxies may close."""

    max_waits: int = Field(1000, ge=1)
    """Maximum number of requests that one gateway lets wait (`Prefer: wait=n`) at the same time, of which each API key
    has a share: alone half of them, less if others wait too. Further ones are answered at once, as if they had not
    asked to."""

    max_event_streams: int = Field(1000, ge=1)
    """Maximum number of event streams that one gateway keeps open at the same time, of which each API key has a share
    as of `max_waits`; further ones receive 503. Each takes a connection and about 50 KB of memory."""

    max_connections: int = Field(4096, ge=16)
    """Maximum number of connections to one gateway at the same time. When there are more, the one that has been idle
    for longest is closed; if none is idle, the new one receives 503. Each API key has a share of the requests in
    progress, as of `max_waits`. A connection needs two open files: the gateway raises its limit (`ulimit -n`) as far as
    it may, and otherwise keeps fewer connections and says so. Waits and event streams take at most a quarter of them
    each."""

    # ---- what one request may ask for

    max_image_bytes: int = Field(20 * MIB, ge=KIB)
    """Largest file in a request, in bytes. Reading stops at the limit."""

    max_image_pixels: int = Field(52_000_000, ge=256, le=89_000_000)
    """Maximum number of pixels in one picture, according to its header. A decoded pixel takes 3 to 12 bytes in the
    worker."""

    max_image_side: int = Field(16_384, ge=16)
    """Longest side of a picture, in pixels."""

    min_image_side: int = Field(16, ge=1)
    """Shortest side of a picture, in pixels. Smaller pictures show no usable face."""

    max_references: int = Field(8, ge=0, le=8)
    """Maximum number of references in one request; a model may take fewer. A reference that the worker has not seen
    before costs one encoding."""

    max_request_bytes: int = Field(64 * MIB, ge=2 * KIB)
    """Largest request body, in bytes, chunked or not. Multiplied by `max_uploads_at_once`, it bounds the memory of
    the gateway."""

    max_uploads_at_once: int = Field(16, ge=1)
    """Maximum number of request bodies that one gateway holds at the same time, of which each API key has a share as of
    `max_waits`; further requests receive 503. The gateway needs up to this number times `max_request_bytes` of
    memory."""

    upload_timeout: float = Field(60.0, gt=0)
    """Seconds within which a request body must arrive. Shorter timeouts cut off slow connections; longer ones let
    idle clients occupy upload slots."""

    requests_per_minute: int = Field(3000, ge=0)
    """Requests to /v1 that one API key may make per minute; 0 means no limit. `refstar keys limit` sets the limit of
    a single key. Open mode has no limits."""

    restorations_per_day: int = Field(0, ge=0)
    """Restorations that one API key may submit in 24 hours; 0 means no limit. `refstar keys limit` sets the limit of
    a single key."""

    unfinished_per_key: int = Field(200, ge=0)
    """Restorations of one API key that may be queued or running at the same time, so that one key cannot fill the
    queue; 0 means no limit. `refstar keys limit` sets the limit of a single key."""

    @property
    def listed_host_names(self) -> tuple[str, ...]:
        return tuple(name.lower() for name in split_list(self.host_names))

    @property
    def listed_cors_origins(self) -> tuple[str, ...]:
        return split_list(self.cors_origins)

    @property
    def listens_beyond_this_machine(self) -> bool:
        if self.host == "localhost":
            return False
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return True  # a name, which may stand for any address

    @field_validator("port", mode="before")
    @classmethod
    def _refuse_service_link(cls, value: object) -> object:
        # Kubernetes sets REFSTAR_PORT=tcp://10.0.0.1:8000 in every pod beside a Service named refstar.
        if isinstance(value, str) and value.startswith("tcp://"):
            raise ValueError(
                f"{value!r} is a Kubernetes service link: set `enableServiceLinks: false` in the pod"
            )
        return value

    @field_validator("host_names")
    @classmethod
    def _check_host_names(cls, value: str) -> str:
        for name in split_list(value):
            if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name):
                raise ValueError(f"{name!r} is not a host name: write it without scheme, port and wildcards")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_cors_origins(cls, value: str) -> str:
        for origin in split_list(value):
            if not re.fullmatch(r"https?://([a-z0-9_.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?", origin):
                raise ValueError(
                    f"{origin!r} is not an origin: write scheme, host and port as browsers send them, in small letters "
                    "and without a path, such as https://app.example.org; wildcards are not allowed"
                )
        return value

    @model_validator(mode="after")
    def _check_request_bytes(self) -> Self:
        if self.max_request_bytes < self.max_image_bytes:
            raise ValueError(
                f"max_request_bytes ({self.max_request_bytes}) must be at least max_image_bytes "
                f"({self.max_image_bytes}); otherwise the largest allowed picture could not be sent"
            )
        return self
