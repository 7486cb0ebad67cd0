"""Every way in which a request can fail, each with a stable name.

The type of a problem is `/problems/<slug>`, and that address answers what it means and what to do about it.
Slugs are part of the contract: they are added, never renamed. The status says what is wrong with the request
(422: well-formed, but not something that can be done), the slug says what exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, unique


def say_limits(settings: Sequence[str]) -> str:
    """A sentence that names them; nothing if there are none."""
    if len(settings) < 2:
        return f"The limit is the setting {settings[0]}." if settings else ""
    return f"The limits are the settings {', '.join(settings[:-1])} and {settings[-1]}."


@unique
class ProblemType(Enum):
    """Status, title, and the settings that change its limit, if it is about one. The slug is the name in lower case
    with hyphens. What to do about each is in `remedies`."""

    # What the request asks for
    INVALID_PARAMETER = (422, "A parameter has an invalid value")
    UNKNOWN_PARAMETER = (422, "The request has an unknown field")
    MISSING_IMAGE = (422, "The picture to restore is missing")
    TOO_MANY_REFERENCES = (422, "There are more references than allowed", "max_references")
    REFERENCES_REQUIRED = (422, "This model needs at least one reference")
    UNKNOWN_MODEL = (422, "No such model")
    RESULT_TOO_LARGE = (422, "The enlarged picture would be too large", "max_image_pixels", "max_image_side")
    NOT_SQUARE = (422, "An aligned picture must be square")

    # The faces in them
    NO_FACE_FOUND = (422, "No face was found to restore")
    FACE_TOO_SMALL = (422, "Every requested face is too small")
    REFERENCE_WITHOUT_FACE = (422, "A reference shows no face")
    SEVERAL_FACES = (422, "A reference shows several faces")
    REFERENCE_TOO_SMALL = (422, "The face in a reference is too small to help")
    REFERENCE_TOO_BLURRED = (422, "The face in a reference is too blurred to help")
    REFERENCE_STRANGER = (422, "A reference probably shows somebody else", "stranger_below")
    REFERENCE_SURPLUS = (422, "Fewer references are used than the person has")
    REFERENCE_REMOVED = (422, "The reference was removed from the person")

    # The pictures themselves
    IMAGE_EMPTY = (422, "The picture is empty")
    NOT_AN_IMAGE = (422, "The file is not a picture")
    IMAGE_TYPE_UNSUPPORTED = (422, "This picture type is not supported")
    IMAGE_TYPE_MISMATCH = (422, "The picture is labeled as something other than a picture")
    IMAGE_TRUNCATED = (422, "The picture is incomplete")
    IMAGE_TOO_MANY_BYTES = (413, "A picture has too many bytes", "max_image_bytes")
    IMAGE_TOO_MANY_PIXELS = (422, "A picture has too many pixels", "max_image_pixels", "max_image_side")
    IMAGE_TOO_SMALL = (422, "A picture is too small", "min_image_side")
    IMAGE_ANIMATED = (422, "A picture has more than one frame")
    IMAGE_UNDECODABLE = (422, "The picture cannot be decoded")

    # The request as such
    MALFORMED_REQUEST = (400, "The request cannot be read")
    HEAD_TOO_LARGE = (431, "The request's headers are too long")
    UNSUPPORTED_MEDIA_TYPE = (415, "The body has the wrong type")
    REQUEST_TOO_LARGE = (
        413,
        "The request is too large",
        "max_request_bytes",
        "storage_bytes",
        "storage_bytes_per_key",
    )
    UPLOAD_TIMEOUT = (408, "The upload took too long", "upload_timeout")
    NOT_FOUND = (404, "Not found")
    METHOD_NOT_ALLOWED = (405, "Method not allowed")

    # Who asks
    KEY_REQUIRED = (401, "An API key is required")
    KEY_INVALID = (401, "The API key is invalid")
    QUOTA_EXCEEDED = (
        429,
        "The API key has exceeded its quota",
        "requests_per_minute",
        "restorations_per_day",
    )
    TOO_MANY_UNFINISHED = (429, "The API key has too many unfinished restorations", "unfinished_per_key")
    KEYS_UNAVAILABLE = (503, "The API keys cannot be read")
    CROSS_SITE_REQUEST = (403, "Requests from other web sites are not allowed")
    PRIORITY_NOT_PERMITTED = (403, "This API key may not use priority=high")
    WRONG_HOST = (421, "The request is for another host")

    # Requests that may come twice
    IDEMPOTENCY_KEY_MALFORMED = (400, "The Idempotency-Key is malformed")
    IDEMPOTENCY_KEY_REUSED = (422, "The Idempotency-Key belongs to another request")
    IDEMPOTENT_REQUEST_RUNNING = (409, "The first request with this Idempotency-Key is still in progress")

    # Webhooks
    WEBHOOK_URL_REFUSED = (422, "The webhook URL is not allowed")
    WEBHOOK_URL_GONE = (422, "The webhook URL responded with 410 Gone")
    WEBHOOKS_NOT_CONFIGURED = (422, "There is no secret to sign webhooks with")
    TOO_MANY_WEBHOOKS = (429, "Too many webhooks are undelivered", "webhook_backlog")

    # Pictures by URL
    URLS_DISABLED = (422, "This service fetches nothing from URLs and delivers nothing to them")
    IMAGE_URL_REFUSED = (422, "The URL of a picture is not allowed")
    IMAGE_URL_UNREACHABLE = (422, "The server of a picture cannot be reached")
    IMAGE_URL_REJECTED = (422, "The server of a picture refused to provide it")
    IMAGE_URL_TIMEOUT = (422, "A picture took too long to arrive", "url_timeout")
    OUTPUT_URL_REFUSED = (422, "The URL for the result is not allowed")
    OUTPUT_URL_UNREACHABLE = (422, "The result could not be delivered")
    OUTPUT_URL_REJECTED = (422, "The server of the output URL does not take the result")
    OUTPUT_URL_TIMEOUT = (422, "The result took too long to be delivered", "url_timeout")

    # A restoration
    UNKNOWN_RESTORATION = (404, "No such restoration")
    RESULT_NOT_READY = (409, "The result is not ready")
    RESTORATION_FAILED = (409, "The restoration failed, so there is no result")
    RESTORATION_CANCELED = (409, "The restoration was canceled, so there is no result")
    RESTORATION_EXPIRED = (410, "The restoration has expired", "result_ttl", "job_ttl")
    NO_SELECTION = (404, "There is no selection picture")

    # A stored person
    UNKNOWN_PERSON = (404, "No such person")
    PERSON_NOT_READY = (409, "The person is still being prepared")
    PERSON_FAILED = (409, "None of this person's references can be used")
    MISSING_REFERENCES = (422, "There is no reference to store")
    TOO_MANY_PEOPLE = (409, "The limit on stored people has been reached", "max_people", "storage_bytes")

    # What a worker reports of a job
    PERSON_GONE = (410, "The person was gone before a worker started", "person_ttl")
    INFERENCE_FAILED = (500, "The model could not restore the picture")
    WORKER_LOST = (500, "Every worker that tried this restoration was lost", "max_attempts")
    RECORD_UNREADABLE = (500, "The record cannot be read by this version of the service")
    INPUT_EXPIRED = (410, "The picture was gone before a worker started", "job_ttl")

    # The service
    QUEUE_FULL = (429, "The queue is full", "queue_limit")
    STORAGE_FULL = (
        429,
        "There is no room to store pictures",
        "storage_bytes",
        "storage_bytes_per_key",
        "redis_memory_share",
    )
    TOO_MANY_UPLOADS = (503, "Too many uploads at the same time", "max_uploads_at_once")
    TOO_MANY_STREAMS = (503, "Too many event streams at the same time", "max_event_streams")
    TOO_MANY_CONNECTIONS = (503, "Too many connections at the same time", "max_connections")
    QUEUE_UNAVAILABLE = (503, "The queue is unavailable")
    STORAGE_UNAVAILABLE = (503, "The picture store is unavailable")
    NO_MODEL = (503, "No model is installed")
    NOT_READY = (503, "The service is not ready")
    INTERNAL_ERROR = (500, "Something went wrong in the service")

    def __init__(self, status: int, title: str, *settings: str) -> None:
        self.status = status
        self.title = title
        self.settings = tuple(f"REFSTAR_{name.upper()}" for name in settings)

    @property
    def slug(self) -> str:
        return self.name.lower().replace("_", "-")

    @property
    def uri(self) -> str:
        return f"/problems/{self.slug}"

    def name_limit(self, detail: str, setting: str | None = None) -> str:
        """The detail of such a problem, with the settings that change its limit: ``setting`` if it is that one, none
        where the detail names one."""
        if any(name in detail for name in self.settings):
            return detail
        return f"{detail} {say_limits([setting] if setting else self.settings)}".rstrip()

    @classmethod
    def of(cls, slug: str) -> ProblemType | None:
        return _BY_SLUG.get(slug)


_BY_SLUG = {problem.slug: problem for problem in ProblemType}
