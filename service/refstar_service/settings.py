"""Every setting of the service: its unit, its default and what it trades.

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
from pydantic_settings import BaseSettings, SettingsConfigDict

KIB = 1024
MIB = 1024 * KIB
PREFIX = "REFSTAR_"

#: Names with the prefix that others read: REFSTAR_DATA tells refstar-model and the tests where photographs are.
READ_BY_OTHERS = frozenset({"REFSTAR_DATA"})


def _default_data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "refstar"


def _default_worker_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class Settings(BaseSettings):
    """All settings, checked once at start. The text below each one is its description in help and docs."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    # ---- where things live

    redis_url: str | None = Field(None, repr=False)  # may hold a password, and settings are logged at start
    """Redis >= 6.2 or Valkey >= 8, as `redis://[:password@]host:port/db`. Unset: `refstar serve` starts an
    embedded Redis, which serves one machine only. The server must run with `maxmemory-policy noeviction`,
    else it may evict results."""

    embedded_redis_memory_mb: int = Field(512, ge=32)
    """Memory limit of the embedded Redis, in MiB. Images in flight live there when `blobs` is `redis`: too
    small answers 503 under load, too large takes memory from the models."""

    data_dir: Path = Field(default_factory=_default_data_dir)
    """Folder of the embedded Redis and of directory blobs. Accepted jobs survive a restart as long as this
    folder does. Default: `refstar` in the user's data folder."""

    models_dir: Path = Path(__file__).parent / "zoo"
    """Folder with one folder per model. Default: the models shipped with the package. Gateway and workers
    must see the same models."""

    detector: Path | None = None
    """A YuNet network (`.onnx`, as OpenCV's zoo has it) that finds faces instead of the shipped detector: look at
    its license and measure it on your pictures. Workers alone read it. One that cannot be loaded stops the
    worker."""

    blobs: Literal["redis", "directory", "s3"] = "redis"
    """Where image bytes wait. `redis` needs nothing else and costs its memory, and its append-only file, once
    more; `directory` costs disk, and every gateway and worker must share the folder; `s3` is slowest, grows
    without end, and needs `s3_url` and the extra `s3`."""

    blob_dir: Path | None = None
    """Folder for `blobs=directory`. Default: `blobs` inside `data_dir`."""

    s3_url: str | None = None
    """Bucket and prefix for `blobs=s3`, as `s3://bucket/prefix`; the bucket must be there. Region, endpoint and
    credentials are AWS's own variables (`AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, ...) or the
    machine's role."""

    # ---- the gateway's door

    host: str = "127.0.0.1"
    """Address the gateway listens on. The default lets in this machine only. `0.0.0.0` lets in everybody who
    can reach it: set `access` too."""

    access: Literal["open", "file", "redis"] = "open"
    """Who may use the service. `open`: whoever is at this machine; a gateway that listens beyond it refuses to
    start. `file` and `redis`: who shows an API key, kept (as a hash) in `keys_file`, or in Redis, where all
    gateways see a change at once. `refstar keys add NAME` makes a key."""

    keys_file: Path | None = None
    """The file for `access=file`, read again whenever it is replaced. Default: `keys.json` in `data_dir`."""

    open_to_network: bool = False
    """With `access=open`, listen beyond this machine all the same, and answer to any host name: for a container
    whose port is published to one machine, or a network in which everybody may see everybody's pictures."""

    port: int = Field(8000, ge=0, le=65535)
    """Port of the gateway. 0 takes a free one and logs it."""

    shutdown_grace: float = Field(10.0, ge=0)
    """Seconds that running requests get after SIGTERM. Waiting clients are answered at once; this is for
    uploads and downloads. Keep it below the container's grace period."""

    max_wait: int = Field(60, ge=0, le=600)
    """Longest `Prefer: wait=n`, in seconds. More saves polls and holds connections that proxies may cut."""

    max_event_streams: int = Field(1000, ge=1)
    """Event streams that one gateway holds open at the same time; the next is answered 503. Each takes a connection
    and some 50 KB."""

    # ---- what one request may ask for

    max_image_bytes: int = Field(20 * MIB, ge=KIB)
    """Largest single upload, in bytes. It is cut off while it is read."""

    max_image_pixels: int = Field(50_000_000, ge=256, le=89_000_000)
    """Most pixels in one picture, by its header. A decoded pixel takes 3 to 12 bytes in the worker."""

    max_image_side: int = Field(16_384, ge=16)
    """Longest side of a picture, in pixels."""

    min_image_side: int = Field(16, ge=1)
    """Shortest side of a picture, in pixels: a smaller one holds no face."""

    max_references: int = Field(8, ge=0, le=8)
    """Most references in one request; a model may take fewer. Each one costs an encoding when the worker has
    not seen it before."""

    max_request_bytes: int = Field(64 * MIB, ge=2 * KIB)
    """Largest whole request body, in bytes, chunked or not. Times `max_uploads_at_once` it bounds the
    gateway's memory."""

    max_uploads_at_once: int = Field(16, ge=1)
    """Requests whose bodies one gateway holds at the same time, at most half of them of one API key; the next is
    answered 503. More takes more memory: at most this times `max_request_bytes`."""

    upload_timeout: float = Field(60.0, gt=0)
    """Seconds for a request body to arrive. Short cuts off slow lines, long lets idle clients hold upload
    places."""

    requests_per_minute: int = Field(3000, ge=0)
    """Requests under /v1 that one API key may make in a minute; 0: as many as it likes. A key may have a limit of
    its own (`refstar keys limit`). Open mode has no limits."""

    restorations_per_day: int = Field(0, ge=0)
    """Restorations that one API key may ask for in 24 hours; 0: as many as it likes. The same may be set per key."""

    unfinished_per_key: int = Field(200, ge=0)
    """Restorations of one API key that may wait or run at the same time, so that one does not fill the queue for
    all; 0: as many as it likes. The same may be set per key."""

    # ---- webhooks

    webhook_secret: str = Field("", repr=False)
    """Secret that webhooks are signed with in open mode: `whsec_` and the base64 of 24 to 64 random bytes
    (`refstar keys secret` prints a new one). Two, the new one first and a space between, sign with both while
    receivers change over. Unset: no webhooks in open mode. API keys have secrets of their own."""

    webhook_networks: str = ""
    """Networks inside that webhooks may go to, with or without TLS, such as `10.1.0.0/16,fd00::/8`. Whoever may
    send requests can make the service call these. Unset: public addresses only, and https only."""

    webhook_timeout: float = Field(20.0, gt=0, le=60)
    """Seconds that a receiver has to answer a webhook. An attempt that takes longer has failed and comes again."""

    webhook_backlog: int = Field(1000, ge=1)
    """Webhooks of one API key that may be owed; more restorations with a `webhook_url` are refused until some are
    delivered or given up. Each takes about 2 KB of Redis for up to three days."""

    webhook_courier: bool = True
    """Whether gateways deliver webhooks. `false`: only `refstar courier` processes do, which can be given a network
    of their own from which nothing inside is reached."""

    person_ttl: int = Field(2_592_000, ge=60)
    """Seconds that a stored person is kept, from the moment they are stored (default: 30 days). Longer saves enrolling
    them anew and keeps their faces longer."""

    max_people: int = Field(1000, ge=1)
    """Most people that one API key, or everybody in open mode, may have stored. Each reference takes about 3 MB of
    blobs, so with `blobs=redis` a hundred people with three references take 1 GB of its memory."""

    # ---- the queue

    queue_limit: int = Field(1000, ge=1)
    """Jobs waiting or running before new ones are answered 429. A longer queue refuses less and lets clients
    wait longer."""

    queue_bytes: int = Field(4096 * MIB, ge=MIB)
    """Bytes that the uploads of waiting and running jobs, and their results at the most, may take before new ones are
    answered 429. Where `blobs` is not `redis`, this is what bounds the disk that the queue takes."""

    redis_memory_share: float = Field(0.8, gt=0, le=0.95)
    """Share of Redis's `maxmemory` that may be taken by all there is and promised to the results of admitted jobs;
    beyond it new jobs are answered 429. What is left is for answers on their way, up to `max_request_bytes` each.
    A Redis without `maxmemory` is never full to this."""

    job_ttl: int = Field(86_400, ge=60)
    """Seconds an unfinished job and its inputs are kept. Must outlast the longest queue."""

    result_ttl: int = Field(3600, ge=1)
    """Seconds a finished job and its result are kept. Longer is kinder to slow clients and keeps people's
    faces longer."""

    expired_ttl: int = Field(86_400, ge=1)
    """Seconds after its expiry for which a job is still known to have been (410 instead of 404, and listed). Each
    takes about 1 KB of Redis: 86 MB for one a second."""

    max_attempts: int = Field(3, ge=1)
    """How often a job is started before it fails as `worker-lost`. More survives more crashes and gives a
    poisonous picture more workers to kill."""

    stale_after: float = Field(15.0, gt=0)
    """Seconds without a heartbeat after which another worker takes a job over. Short recovers quickly;
    shorter than a pause of the machine runs jobs twice (only one result is recorded)."""

    # ---- the worker

    worker_name: str = Field(default_factory=_default_worker_name, min_length=1, max_length=128)
    """Name of this worker in Redis; must differ between workers. Default: host name and process id."""

    provider: Literal["cpu", "cuda", "tensorrt"] = "cpu"
    """What runs the models. A provider that is not there stops the worker: it never falls back in silence.
    `tensorrt` is fastest and builds engines for minutes at the first start."""

    threads: int = Field(0, ge=0)
    """CPU threads of inferences: of one that is alone, or of all that run side by side. 0: one per core that this
    process may use, by its affinity and its cgroup's quota. None of them spins, so fewer are of use only where others
    need the cores. A GPU's worker uses them for the detector alone."""

    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """What the models compute in. `fp16` is for GPUs, and there faster and half as large; `int8` is for CPUs. A model
    whose folder brings no graph for it (`restore_fp16`, `restore_int8`) stops the worker."""

    gpu_graphs: bool = False
    """Capture a CUDA graph for each batch size and replay it: saves launching a thousand small operations one by one,
    which small batches feel, and keeps the memory of each size. Measure it on your GPU."""

    gpu_nhwc: bool = False
    """Convolutions with channels last, on `cuda`: faster in fp16 on most GPUs, and slower on some. Measure it."""

    gpu_tf32: bool = True
    """Let tensor cores multiply fp32 with 10 bits of mantissa, on `cuda`. `false` is exact and several times slower."""

    gpu_memory_mb: int = Field(0, ge=0)
    """Most GPU memory that each graph of a model may take, in MiB, on `cuda`; 0: what there is. A batch that does not
    fit is halved, and the worker goes on with smaller ones."""

    max_batch: int = Field(8, ge=1, le=64)
    """Most jobs taken at a time, and on a GPU most faces in one inference, which gains throughput up to about 16."""

    faces_per_inference: int = Field(0, ge=0, le=64)
    """Most faces in one inference. 0: `max_batch` on a GPU, and one on a CPU, where more gain nothing with the shipped
    model and take more memory."""

    max_batch_pixels: int = Field(100_000_000, ge=1_000_000)
    """Most pixels that the pictures and results of one batch may hold; a batch with more is worked on in
    portions, and one larger picture comes alone. A worker has up to five portions in memory, at 3 to 4 bytes a
    pixel, and while it decodes twice that: 100 million take up to 2 GB. Less is slower for large
    photographs."""

    feature_cache_bytes: int = Field(256 * MIB, ge=0)
    """Memory for the encoded features of references, in bytes; the least recently used go first. 0 encodes
    every reference of every job again."""

    worker_metrics_port: int | None = Field(None, ge=0, le=65535)
    """Port of a worker's own `/metrics` and `/healthz`. Unset: none. 0 takes a free one and logs it."""

    worker_metrics_host: str = "127.0.0.1"
    """Address for `worker_metrics_port`. `0.0.0.0` lets a Prometheus on another machine in, and anybody else."""

    # ---- logs

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important lines that are logged. `debug` adds health probes and scrapes."""

    log_json: bool = False
    """One JSON object a line, for collectors, instead of text for people."""

    @property
    def blob_folder(self) -> Path:
        """The folder that `blobs=directory` uses."""
        return self.blob_dir or self.data_dir / "blobs"

    @property
    def key_file(self) -> Path:
        """The file that `access=file` uses."""
        return self.keys_file or self.data_dir / "keys.json"

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
    def _refuse_what_is_no_bucket(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/.*)?", value):
            raise ValueError("must be s3://bucket or s3://bucket/prefix")
        return value

    @field_validator("redis_url")
    @classmethod
    def _refuse_other_schemes(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return value

    @field_validator("webhook_networks")
    @classmethod
    def _refuse_what_is_no_network(cls, value: str) -> str:
        for part in filter(None, map(str.strip, value.split(","))):
            ip_network(part)  # its ValueError says what is wrong
        return value

    @model_validator(mode="after")
    def _s3_has_a_bucket(self) -> Self:
        if self.blobs == "s3" and self.s3_url is None:
            raise ValueError("blobs=s3 needs s3_url: s3://bucket/prefix")
        return self

    @model_validator(mode="after")
    def _limits_fit_together(self) -> Self:
        if self.max_request_bytes < self.max_image_bytes:
            raise ValueError(
                f"max_request_bytes ({self.max_request_bytes}) is below max_image_bytes "
                f"({self.max_image_bytes}): no picture of the allowed size could be sent"
            )
        if self.job_ttl < self.stale_after * self.max_attempts:
            raise ValueError(
                f"job_ttl ({self.job_ttl} s) is below stale_after x max_attempts "
                f"({self.stale_after * self.max_attempts:g} s): jobs would expire during their recovery"
            )
        return self


def unrecognized(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Names in `environment` that look like settings and are none, each with the setting it may have meant.

    Meant for a warning at start, not for an error: Kubernetes adds `REFSTAR_..._SERVICE_HOST` and the like.
    """
    known = [name.upper() for name in Settings.model_fields]
    strange = sorted(name for name in environment.keys() - READ_BY_OTHERS if name.startswith(PREFIX))
    given = (name.removeprefix(PREFIX) for name in strange)
    near = {name: get_close_matches(name, known, n=1, cutoff=0.75) for name in given if name not in known}
    return {PREFIX + name: PREFIX + matches[0] if matches else None for name, matches in near.items()}
