"""Every setting of the service: its unit, its default and its trade-offs.

Read from the environment with the prefix `REFSTAR_` (`REFSTAR_PORT=9000`); the command line overrides single
values. Both processes read the same class, so a gateway and a worker that share an environment agree.
"""

import os
import re
import socket
from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from refstar_service.model_settings import ModelSettings

KIB = 1024
MIB = 1024 * KIB
PREFIX = "REFSTAR_"

STORAGE_BYTES = {"redis": 4 * KIB * MIB, "directory": 16 * KIB * MIB, "s3": 64 * KIB * MIB}

#: Names with the prefix that others read: REFSTAR_DATA tells refstar-model and the tests where photographs are, the
#: other two tell clients where a service is and who they are.
READ_BY_OTHERS = frozenset({"REFSTAR_DATA", "REFSTAR_URL", "REFSTAR_API_KEY"})


def _default_data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "refstar"


def _default_worker_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class Settings(ModelSettings):
    """All settings, checked once at start. The text below each one is its description in help and docs."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    # ---- where things live

    redis_url: str | None = Field(None, repr=False)  # may hold a password, and settings are logged at start
    """Redis >= 6.2 or Valkey >= 8, as `redis://[:password@]host:port/db`. If unset, `refstar serve` starts an
    embedded Redis, which serves one machine only. The server must run with `maxmemory-policy noeviction`; otherwise
    it may evict results."""

    embedded_redis_memory_mb: int = Field(512, ge=32)
    """Memory limit of the embedded Redis, in MiB. It also holds the pictures if `blobs` is `redis`: a limit that is
    too low causes 503 responses under load, one that is too high takes memory from the models."""

    data_dir: Path = Field(default_factory=_default_data_dir)
    """Folder of the embedded Redis and of `blobs=directory`. Accepted jobs survive a restart as long as this folder
    does. Default: `refstar` in the user's data folder."""

    blobs: Literal["redis", "directory", "s3"] | None = None
    """Where pictures are stored. `redis` needs nothing else, but uses Redis memory and the same amount of disk for
    its append-only file. `directory` uses disk, and every gateway and worker must share the folder; nobody but the
    service's own user can read it. `s3` is the slowest, and needs `s3_url` and the extra `s3`. Default: `directory`
    beside the embedded Redis, `redis` if `redis_url` is set. `storage_bytes` bounds what they take."""

    blob_dir: Path | None = None
    """Folder for `blobs=directory`. Default: `blobs` inside `data_dir`."""

    s3_url: str | None = None
    """Bucket and prefix for `blobs=s3`, as `s3://bucket/prefix`. The bucket must exist. Region, endpoint and
    credentials come from the usual AWS variables (`AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, ...) or
    from the role of the machine."""

    # ---- the gateway's door

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
    """Most requests that one gateway lets wait (`Prefer: wait=n`) at the same time, of which each API key has a share:
    alone half of them, less if others wait too. Further ones are answered at once, as if they had not asked to."""

    max_event_streams: int = Field(1000, ge=1)
    """Most event streams that one gateway keeps open at the same time, of which each API key has a share as of
    `max_waits`; further ones receive 503. Each takes a connection and about 50 KB of memory."""

    max_connections: int = Field(4096, ge=16)
    """Most connections to one gateway at the same time. When there are more, the one that has been idle for longest is
    closed; if none is idle, the new one receives 503. Each API key has a share of the requests in progress, as of
    `max_waits`. A connection needs two open files: the gateway raises its limit (`ulimit -n`) as far as it may, and
    otherwise keeps fewer connections and says so. Waits and event streams take at most a quarter of them each."""

    # ---- what one request may ask for

    max_image_bytes: int = Field(20 * MIB, ge=KIB)
    """Largest file in a request, in bytes. Reading stops at the limit."""

    max_image_pixels: int = Field(52_000_000, ge=256, le=89_000_000)
    """Most pixels in one picture, according to its header. A decoded pixel takes 3 to 12 bytes in the worker."""

    max_image_side: int = Field(16_384, ge=16)
    """Longest side of a picture, in pixels."""

    min_image_side: int = Field(16, ge=1)
    """Shortest side of a picture, in pixels. Smaller pictures show no usable face."""

    max_references: int = Field(8, ge=0, le=8)
    """Most references in one request; a model may take fewer. A reference that the worker has not seen before costs
    one encoding."""

    max_request_bytes: int = Field(64 * MIB, ge=2 * KIB)
    """Largest request body, in bytes, chunked or not. Multiplied by `max_uploads_at_once`, it bounds the memory of
    the gateway."""

    max_uploads_at_once: int = Field(16, ge=1)
    """Most request bodies that one gateway holds at the same time, of which each API key has a share as of `max_waits`;
    further requests receive 503. The gateway needs up to this number times `max_request_bytes` of memory."""

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
    """Most undelivered webhooks of one API key. When it is reached, restorations with a `webhook_url` are refused
    until some have been delivered or given up. Each takes about 2 KB of Redis for up to three days."""

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
    """Most redirects that are followed on the way to a picture. Each is checked like the URL itself."""

    transfers_at_once: int = Field(16, ge=1)
    """Restorations of one worker that may wait for pictures from URLs at the same time, and as many that may wait for
    their results to be delivered; further ones wait in the queue, and others with them. Multiplied by
    `max_request_bytes`, it bounds the memory that such pictures take."""

    # ---- people

    person_ttl: int = Field(2_592_000, ge=60)
    """Seconds that a stored person is kept (default: 30 days). Longer saves storing people again, but keeps their
    faces longer."""

    max_people: int = Field(1000, ge=1)
    """Most people stored per API key, or in total in open mode; fewer if those would not fit into half of
    `storage_bytes`, at 4 MiB for each of `max_references`: 256 people with 16 GiB."""

    # ---- the queue

    queue_limit: int = Field(1000, ge=1)
    """Most jobs that are queued or running; further ones receive 429. A longer queue refuses fewer requests, but
    clients wait longer."""

    storage_bytes: int | None = Field(None, ge=MIB)
    """Most bytes that all pictures may take: uploads, results (before they exist, what they may take at the most) and
    stored people. When it is reached, results that were downloaded longest ago, but at least a minute ago, expire
    before their time; without any, new jobs receive 429 (`storage-full`). An API key may hold as much as is left beside
    what it holds: alone half of it, two keys a third each. Default: 16 GiB with `blobs=directory`, 64 GiB with `s3`,
    4 GiB with `redis`, where `redis_memory_share` is the limit that counts."""

    storage_bytes_per_key: int = Field(0, ge=0)
    """Most bytes that the pictures of one API key may take; 0 means no limit but its share of `storage_bytes`."""

    redis_memory_share: float = Field(0.8, gt=0, le=0.95)
    """Share of the `maxmemory` of Redis that may be in use or reserved for the results of accepted jobs; beyond it,
    new jobs receive 429. The rest is for responses in transit, up to `max_request_bytes` each. A Redis without
    `maxmemory` has no such limit."""

    job_ttl: int = Field(86_400, ge=60)
    """Seconds that an unfinished job and its uploads are kept. Must be longer than the longest wait in the queue."""

    result_ttl: int = Field(3600, ge=1)
    """Seconds that a finished job and its result are kept. Longer is kinder to slow clients, but keeps people's
    faces longer."""

    expired_ttl: int = Field(86_400, ge=1)
    """Seconds for which an expired job is still remembered (410 instead of 404, and in lists). Each takes about 1 KB
    of Redis: 86 MB at one job per second."""

    max_attempts: int = Field(3, ge=1)
    """How many times a job is started before it fails as `worker-lost`. More attempts survive more crashes, but let
    a harmful picture crash more workers."""

    stale_after: float = Field(15.0, gt=0)
    """Seconds without a heartbeat after which another worker takes over a job. Shorter recovers faster, but if it is
    shorter than a pause of the machine, jobs run twice (only one result is recorded)."""

    # ---- the worker

    worker_name: str = Field(default_factory=_default_worker_name, min_length=1, max_length=128)
    """Name of this worker in Redis; must be unique. Default: host name and process ID."""

    provider: Literal["cpu", "cuda", "tensorrt"] = "cpu"
    """What runs the models. A worker does not start if the provider is missing; there is no silent fallback.
    `tensorrt` is the fastest, but builds engines for several minutes at the first start."""

    threads: int = Field(0, ge=0)
    """CPU threads for inference, shared by inferences that run side by side. 0: one per available core, according to
    CPU affinity and the cgroup quota. Threads do not spin, so a lower number only helps if others need the cores. A
    GPU worker uses them for the detector only."""

    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """What the models compute in. `fp16` is for GPUs, where it is faster and takes half the memory; `int8` is for
    CPUs. A model without a graph for it (`restore_fp16`, `restore_int8`) runs in `fp32`; the log and the metric
    `refstar_model_info` say so."""

    gpu_graphs: bool = False
    """Capture a CUDA graph for each batch size and replay it. This saves launching a thousand small operations one
    by one, which helps small batches, but keeps memory for each size. Measure it on your GPU."""

    gpu_nhwc: bool = False
    """Run convolutions with channels last, on `cuda`. Faster in fp16 on most GPUs, slower on some. Measure it on
    your GPU."""

    gpu_tf32: bool = True
    """Let tensor cores multiply fp32 with 10 bits of mantissa, on `cuda`. `false` is exact, but several times
    slower."""

    gpu_memory_mb: int = Field(0, ge=0)
    """Most GPU memory for each graph of a model, in MiB, on `cuda`; 0 means all there is. A batch that does not fit
    is split in half, and the worker continues with smaller batches."""

    max_batch: int = Field(8, ge=1, le=64)
    """Most jobs that a worker takes at a time. On a GPU, also the most faces in one inference; throughput grows up
    to about 16."""

    faces_per_inference: int = Field(0, ge=0, le=64)
    """Most faces in one inference. 0: `max_batch` on a GPU and one on a CPU, where more gain nothing with the
    shipped model and take more memory."""

    max_batch_pixels: int = Field(100_000_000, ge=1_000_000)
    """Most pixels in the pictures and results of one batch. A larger batch is processed in portions, and a larger
    picture on its own. A worker has up to five portions in memory, at 3 to 4 bytes per pixel, and twice that while
    it decodes: 100 million pixels take up to 2 GB. A lower limit makes large photographs slower."""

    feature_cache_bytes: int = Field(256 * MIB, ge=0)
    """Memory for the encoded features of references, for all models together, in bytes. The least recently used are
    dropped first. With 0, every reference of every job is encoded again."""

    worker_metrics_port: int | None = Field(None, ge=0, le=65535)
    """Port for the `/metrics` and `/healthz` of a worker. If unset, there are none. With 0, a free port is chosen
    and logged."""

    worker_metrics_host: str = "127.0.0.1"
    """Address for `worker_metrics_port`. With `0.0.0.0`, Prometheus can connect from another machine, and so can
    anybody else."""

    # ---- logs

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged. `debug` adds health probes and scrapes."""

    log_json: bool = False
    """Log one JSON object per line, for log collectors, instead of text."""

    @property
    def store(self) -> Literal["redis", "directory", "s3"]:
        """What `blobs` says, or its default."""
        return self.blobs or ("directory" if self.redis_url is None else "redis")

    @property
    def storage_limit(self) -> int:
        """What `storage_bytes` says, or its default; not more than an embedded Redis can hold."""
        limit = self.storage_bytes or STORAGE_BYTES[self.store]
        if self.store == "redis" and self.redis_url is None:
            return min(limit, int(self.embedded_redis_memory_mb * MIB * self.redis_memory_share))
        return limit

    @property
    def blob_folder(self) -> Path:
        """The folder that `blobs=directory` uses."""
        return self.blob_dir or self.data_dir / "blobs"

    @property
    def key_file(self) -> Path:
        """The file that `access=file` uses."""
        return self.keys_file or self.data_dir / "keys.json"

    @property
    def listed_host_names(self) -> tuple[str, ...]:
        return tuple(name.lower() for name in _split(self.host_names))

    @property
    def listed_cors_origins(self) -> tuple[str, ...]:
        return _split(self.cors_origins)

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

    @field_validator("s3_url")
    @classmethod
    def _check_s3_url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/.*)?", value):
            raise ValueError("must be s3://bucket or s3://bucket/prefix")
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return value

    @field_validator("host_names")
    @classmethod
    def _check_host_names(cls, value: str) -> str:
        for name in _split(value):
            if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name):
                raise ValueError(f"{name!r} is not a host name: write it without scheme, port and wildcards")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_cors_origins(cls, value: str) -> str:
        for origin in _split(value):
            if not re.fullmatch(r"https?://([a-z0-9_.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?", origin):
                raise ValueError(
                    f"{origin!r} is not an origin: write scheme, host and port as browsers send them, in small letters "
                    "and without a path, such as https://app.example.org; wildcards are not allowed"
                )
        return value

    @field_validator("webhook_networks", "url_networks")
    @classmethod
    def _check_networks(cls, value: str) -> str:
        for part in _split(value):
            ip_network(part)  # its ValueError says what is wrong
        return value

    @field_validator("webhook_ports", "url_ports")
    @classmethod
    def _check_ports(cls, value: str) -> str:
        if not re.fullmatch(r"\s*\d{1,5}(-\d{1,5})?(\s*,\s*\d{1,5}(-\d{1,5})?)*\s*", value):
            raise ValueError("must be ports separated by commas, such as 80,443,8000-8999")
        for part in _split(value):
            first, _, last = part.partition("-")
            if not 1 <= int(first) <= int(last or first) <= 65_535:
                raise ValueError(f"{part!r} is not a port or a range of ports from 1 to 65535")
        return value

    @model_validator(mode="after")
    def _check_s3_bucket(self) -> Self:
        if self.blobs == "s3" and self.s3_url is None:
            raise ValueError("blobs=s3 requires s3_url: s3://bucket/prefix")
        return self

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.max_request_bytes < self.max_image_bytes:
            raise ValueError(
                f"max_request_bytes ({self.max_request_bytes}) must be at least max_image_bytes "
                f"({self.max_image_bytes}); otherwise the largest allowed picture could not be sent"
            )
        if self.job_ttl < self.stale_after * self.max_attempts:
            raise ValueError(
                f"job_ttl ({self.job_ttl} s) must be at least stale_after x max_attempts "
                f"({self.stale_after * self.max_attempts:g} s); otherwise jobs would expire during recovery"
            )
        return self


def _split(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))


def find_unknown_settings(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Names in `environment` that look like settings and are none, each with the setting it may have meant.

    Meant for a warning at start, not for an error: Kubernetes adds `REFSTAR_..._SERVICE_HOST` and the like.
    """
    known = [name.upper() for name in Settings.model_fields]
    strange = sorted(name for name in environment.keys() - READ_BY_OTHERS if name.startswith(PREFIX))
    given = (name.removeprefix(PREFIX) for name in strange)
    near = {name: get_close_matches(name, known, n=1, cutoff=0.75) for name in given if name not in known}
    return {PREFIX + name: PREFIX + matches[0] if matches else None for name, matches in near.items()}
