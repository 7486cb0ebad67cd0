"""One started job on its way through the worker, and the turns that jobs take at the model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from refstar_service.engine.restorer import FaceTask
from refstar_service.engine.staged import RestoredFace
from refstar_service.jobs import JobFailure, Progress, Stage
from refstar_service.jobs.request import Request, RestoreRequest, remote_files
from refstar_service.jobs.reservation import Attempt
from refstar_service.restoration.comparison import Comparison
from refstar_service.restoration.errors import RestorationError
from refstar_service.restoration.recalled import StoredReference
from refstar_service.restoration.report import FaceReport, ReferenceReport
from refstar_service.restoration.steps import ComposedPicture, PreparedPicture
from refstar_service.restoration.upload import Upload
from refstar_service.worker.enrollment import EnrolledFaces
from refstar_service.worker.story import Story


@dataclass(frozen=True, eq=False)
class Download:
    """A picture that came from a URL, and how many pixels its header announces."""

    file: Upload
    pixels: int


@dataclass(eq=False)
class Work:
    """What is known of a job so far. ``pixels``: how many its pictures hold in memory from decoding to storing."""

    started: Attempt
    model: str = ""  # of those that the worker has loaded; by default, what the request says
    story: Story = field(init=False)
    downloads: tuple[Download, ...] = ()  # its pictures that came from URLs
    files: list[Upload] = field(default_factory=list)  # the picture, then its references
    pixels: int = 0
    timings: dict[str, float] = field(default_factory=dict)
    recalled: tuple[StoredReference, ...] = ()  # the references of stored people
    enrolled: EnrolledFaces | None = None  # of an enrollment
    prepared: PreparedPicture | None = None
    composed: ComposedPicture | None = None  # the result, before it is kept
    faces_found: int | None = None  # how many go through the model, once that is known
    turned: int = 0  # faces whose turn at the model has come
    restored: dict[int, RestoredFace] = field(default_factory=dict)  # by the number of their task
    failure: JobFailure | None = None
    faces: tuple[FaceReport, ...] = ()  # of a failure
    references: tuple[ReferenceReport, ...] = ()
    comparison: Comparison | None = None  # of a shadow, with the job that it repeats
    abandoned: bool = False  # its bytes cannot be had or kept now: let another worker try

    def __post_init__(self) -> None:
        self.model = self.model or self.request.full_name
        self.story = Story(self.started, self.model)

    @property
    def request(self) -> Request:
        return self.started.request

    @property
    def job_id(self) -> str:
        return self.started.job_id

    @property
    def owner(self) -> str:
        """Whose it is; empty in open mode."""
        return self.started.owner

    @property
    def awaits_pictures(self) -> bool:
        """Whether some of its pictures are yet to be fetched from URLs."""
        return not self.downloads and bool(remote_files(self.request.files))

    @property
    def output_url(self) -> str:
        """Where its result is to be put; empty for nowhere, or if there is none."""
        if self.failure is not None or not isinstance(self.request, RestoreRequest):
            return ""
        return self.request.output_url

    @property
    def faces_left(self) -> int:
        """How many faces are not restored yet."""
        if self.prepared is None or self.failure is not None:
            return 0
        return len(self.prepared.tasks) - len(self.restored)

    @property
    def faces_waiting(self) -> int:
        """How many of them are not at the model either."""
        if self.prepared is None or self.failure is not None:
            return 0
        return len(self.prepared.tasks) - self.turned

    @property
    def progress(self) -> Progress:
        done, faces = len(self.restored), self.faces_found
        if faces is None:
            return Progress(Stage.PREPARING)
        return Progress(Stage.RESTORING if done < faces else Stage.STORING, done, faces)

    @property
    def faces_in_order(self) -> list[RestoredFace]:
        """Of all tasks, when none is left."""
        return [self.restored[number] for number in range(len(self.restored))]

    @property
    def seconds(self) -> dict[str, float]:
        """The timings as they are reported: tenths of a millisecond are enough."""
        return {stage: round(seconds, 4) for stage, seconds in self.timings.items()}

    def fail(self, code: str, detail: str) -> None:
        self.failure = JobFailure(code, detail)

    def refuse(self, refusal: RestorationError) -> None:
        self.fail(refusal.code, refusal.detail)
        self.faces, self.references = refusal.faces, refusal.references


@dataclass(frozen=True, eq=False)
class Turn:
    """Faces of a job that come to the model together, from its task number ``first`` on."""

    work: Work
    first: int
    tasks: tuple[FaceTask, ...]

    @property
    def count(self) -> int:
        return len(self.tasks)

    def begin(self) -> None:
        """From now on they do not wait any more."""
        self.work.turned += self.count

    def end(self, faces: Sequence[RestoredFace]) -> None:
        """What became of them."""
        self.work.restored.update(enumerate(faces, self.first))


def next_round(works: Sequence[Work], most: int) -> list[Turn]:
    """The faces of one inference, at most ``most``: for the model of the first job, one face of each job in turn.

    So a picture of thirty people takes what room the others leave, and nobody waits until all of them are done.
    """
    left = {work: work.faces_waiting for work in works}
    model = next((work.model for work in works if left[work] > 0), "")
    waiting = {work: count for work, count in left.items() if work.model == model and count > 0}
    taken = dict.fromkeys(waiting, 0)
    room = most
    while room and any(taken[work] < waiting[work] for work in waiting):
        for work in waiting:
            if room and taken[work] < waiting[work]:
                taken[work] += 1
                room -= 1
    return [_turn(work, count) for work, count in taken.items() if count]


def _turn(work: Work, count: int) -> Turn:
    assert work.prepared is not None
    return Turn(work, work.turned, work.prepared.tasks[work.turned : work.turned + count])


def portions(works: Sequence[Work], most_pixels: int) -> Iterator[list[Work]]:
    """Works in order, in groups that hold at most ``most_pixels`` together; a larger one is a group of its own."""
    group: list[Work] = []
    for work in works:
        if group and sum(other.pixels for other in group) + work.pixels > most_pixels:
            yield group
            group = []
        group.append(work)
    if group:
        yield group
