"""What the service answers, as frozen pydantic models. Members that a newer service has beside these are kept
in `model_extra`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["queued", "running", "succeeded", "failed", "canceled", "expired"]
Box = tuple[float, float, float, float]


class Resource(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        use_attribute_docstrings=True,
        protected_namespaces=(),
        populate_by_name=True,
    )


class Problem(Resource):
    """An RFC 9457 problem: why a request was refused, or why a restoration failed."""

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    instance: str | None = None
    request_id: str | None = None

    @property
    def slug(self) -> str:
        """The last part of `type`: `queue-full`. Names are added, never changed."""
        return self.type.rpartition("/")[2]


class Face(Resource):
    """A face of the photograph, or a box that was asked for, and what was done with it."""

    box: Box
    """x, y, width and height in pixels of the upright picture."""
    score: float
    points: list[tuple[float, float]]
    """Eyes, nose and mouth corners in pixels of the upright picture."""
    action: Literal["restored", "kept", "skipped", "failed"]
    reason: str | None
    """Why it was skipped or failed."""
    selected: list[float]
    """For each reference, the mean share of this face that was taken from it, 0 to 1."""
    person: str | None = None
    """ID of the person whom the model took this face for, of those that were named; None for a stranger."""
    same_person: list[float | None] = Field(default_factory=list)
    """For each reference, the model's estimate of the probability that it shows the person of this face; None if it
    does not say."""
    likeness: list[float | None] = Field(default_factory=list)
    """The same estimate for the restored face. It is no identification: the face was made with these references."""


class Reference(Resource):
    """What was found in a reference. Members are None if nothing was found or searched for."""

    index: int
    """1 is the first reference of the request."""
    name: str
    box: Box | None
    score: float | None
    size: float | None
    """Side of the face, in pixels."""
    sharpness: float | None
    used: bool
    reason: str | None
    """Why it was left out."""
    person: str | None = None
    """ID of the person whose reference it is, in a restoration that names people."""


class Output(Resource):
    """Where the result is put."""

    host: str
    delivered_at: datetime | None
    """When it was put there; None before, and if the restoration failed."""


class Progress(Resource):
    """How far a running restoration is."""

    stage: Literal["preparing", "restoring", "storing"]
    faces_done: int
    """How many faces are through the model."""
    faces: int | None
    """How many faces go through the model; None until they have been found."""


class Restoration(Resource):
    """A restoration: its status and, once it has ended, its outcome."""

    id: str
    status: Status
    canceling: bool
    model: str
    model_version: str | None = None
    """The version that the restoration was given when it was accepted."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime
    person: str | None
    """ID of the person, if one alone was named."""
    people: list[str] = Field(default_factory=list)
    """IDs of all people who were named."""
    output: Output | None = None
    """Where the result is put, if the request named an `output_url`."""
    queue_position: int | None
    """Number of restorations ahead of this one; None unless it is queued."""
    progress: Progress | None = None
    """How far it is; None unless it is running, and in its first half second."""
    attempts: int
    faces: list[Face]
    references: list[Reference]
    error: Problem | None
    request_id: str
    timings: dict[str, float]
    """Seconds spent in each stage that was reached."""
    links: dict[str, str | None]
    """Paths on the service: `self`, `image`, `selection`, `events`, `cancel`; None while they lead nowhere."""

    @property
    def ended(self) -> bool:
        return self.status not in ("queued", "running")

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"


class Person(Resource):
    """A person whose references are stored, to be named in restorations."""

    id: str
    name: str
    status: Literal["preparing", "ready", "failed"]
    created_at: datetime
    expires_at: datetime
    references: list[Reference]
    error: Problem | None
    """Why the person failed, or why the last change of a person who is ready was not made."""
    request_id: str


class Model(Resource):
    """An installed model: where it comes from, what it accepts, how well it was measured to work."""

    name: str
    version: str
    default: bool = True
    """Whether requests for the plain name get this version. Any can be requested as `NAME@VERSION`."""
    system: str
    license: str
    training_data: list[str]
    commit: str
    input_size: int
    precision: str
    graphs: dict[str, str]
    weights: str | None
    quality: dict[str, Any]
    limits: list[str]
    max_references: int
    needs_references: bool
    knobs: list[str]
    ranks: dict[str, int | None]
    shared_weights: str | None = None
    """SHA-256 of the weights of another model that the graphs use too."""


class RestorationPage(Resource):
    restorations: list[Restoration]
    next: str | None


class PersonPage(Resource):
    people: list[Person]
    next: str | None


class ModelList(Resource):
    models: list[Model]


class WebhookData(Resource):
    """How a restoration ended. If it is gone already, all but `id` and `status` is None."""

    id: str
    status: Status
    model: str | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    attempts: int | None = None
    request_id: str | None = None
    error: Problem | None = None
    links: dict[str, str | None] = Field(default_factory=dict)


class WebhookEvent(Resource):
    """A webhook whose signature was checked."""

    id: str
    """The same for every delivery of this event: a receiver may get it twice."""
    type: str
    """`restoration.succeeded`, `.failed`, `.canceled` or `.expired`."""
    timestamp: datetime
    data: WebhookData
