"""Every way in which a request can fail, each with a stable name: RFC 9457 problem details.

The type of a problem is `/problems/<slug>`, and that address answers what it means and what to do about it.
Slugs are part of the contract: they are added, never renamed. The status says what is wrong with the request
(422: well-formed, but not something that can be done), the slug says what exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


class ProblemType(Enum):
    """Status, title, and what it means and what to do. The slug is the name in lower case with hyphens."""

    # What the request asks for
    INVALID_PARAMETER = (
        422,
        "A parameter has a value that is not allowed",
        "`errors` lists every such parameter and what is allowed. Correct them and send the request again.",
    )
    UNKNOWN_PARAMETER = (
        422,
        "A form field is not known",
        "Fields are never ignored in silence. Look for a typing error; `/docs` lists the fields.",
    )
    MISSING_IMAGE = (
        422,
        "There is no picture to restore",
        "Send the degraded picture as a file in the form field `image`: `curl -F image=@photo.jpg`.",
    )
    TOO_MANY_REFERENCES = (
        422,
        "There are more references than can be used",
        "Send fewer. `GET /v1/models` says how many each model takes; a few sharp ones beat many.",
    )
    REFERENCES_REQUIRED = (
        422,
        "This model needs at least one reference",
        "Send a sharp picture of the same person as `references`, or choose a model that works without.",
    )
    UNKNOWN_MODEL = (422, "There is no such model here", "`GET /v1/models` lists the models of this service.")
    RESULT_TOO_LARGE = (
        422,
        "The enlarged picture would be too large",
        "The limits on pixels and sides hold for the result too. Ask for a smaller `upscale`, or send a smaller "
        "picture.",
    )
    NOT_SQUARE = (
        422,
        "An aligned picture must be square",
        "With `faces=aligned`, the picture and its references are square face crops (sides within 2 %). Crop "
        "them (any size will do), or leave `faces` out: then faces are found in whole photographs.",
    )

    # The faces in them
    NO_FACE_FOUND = (
        422,
        "No face was found to restore",
        "Nothing was changed and there is no result. `faces` says what was found and why it was not taken. If "
        "there is a face, draw a box around it (`boxes`), or cut it out, eyes level, and use `faces=aligned`.",
    )
    FACE_TOO_SMALL = (
        422,
        "Every face that was asked for is too small",
        "`faces` lists each with its box. Send a larger scan of the picture, or lower `min_face` (16 at least): "
        "of so few pixels, most of the result is invented.",
    )
    REFERENCE_WITHOUT_FACE = (
        422,
        "A reference shows no face",
        "`detail` names the file. Send a picture in which the face is seen from the front, or leave it out.",
    )
    SEVERAL_FACES = (
        422,
        "A reference shows several faces",
        "Nobody but you knows who is meant: `detail` lists the boxes. Crop the reference to one person, or say "
        "`reference_face=largest` if it is the largest face.",
    )
    REFERENCE_TOO_SMALL = (
        422,
        "The face in a reference is too small to help",
        "It was left out; `references` gives the side of its face. Send one with 40 pixels or more between the "
        "eyes. A restoration fails of this only if its model needs a reference and there is no other.",
    )
    REFERENCE_TOO_BLURRED = (
        422,
        "The face in a reference is too blurred to help",
        "It was left out; `references` gives its measured sharpness. Send a sharper one. A restoration fails of "
        "this only if its model needs a reference and there is no other.",
    )

    # The pictures themselves
    IMAGE_EMPTY = (422, "The picture has no bytes", "An empty file was sent. Check the path and the upload.")
    NOT_AN_IMAGE = (
        422,
        "The file is not a picture",
        "Its first bytes are of no known picture type. Send JPEG, PNG, WebP, TIFF, BMP or AVIF.",
    )
    IMAGE_TYPE_UNSUPPORTED = (
        422,
        "This type of picture is not taken",
        "Convert the picture to JPEG, PNG, WebP, TIFF, BMP or AVIF.",
    )
    IMAGE_TYPE_MISMATCH = (
        422,
        "The picture is not of the type it claims",
        "The part's Content-Type names one type and the bytes are of another. Correct it or leave it out.",
    )
    IMAGE_TRUNCATED = (
        422,
        "The picture ends too early",
        "The file is incomplete, often after a broken transfer. Nothing is filled in: send the whole file.",
    )
    IMAGE_TOO_MANY_BYTES = (
        413,
        "A picture has too many bytes",
        "`detail` names the limit. Save the picture with stronger compression or in a smaller size.",
    )
    IMAGE_TOO_MANY_PIXELS = (
        422,
        "A picture has too many pixels",
        "By its header; it was not decoded. `detail` names the limit. Scale the picture down or crop it.",
    )
    IMAGE_TOO_SMALL = (422, "A picture is too small", "`detail` names the limit. A few pixels hold no face.")
    IMAGE_ANIMATED = (
        422,
        "A picture has more than one frame",
        "Animations and documents of several pages are not taken. Send one frame as a still picture.",
    )
    IMAGE_UNDECODABLE = (
        422,
        "The picture cannot be decoded",
        "It is damaged, or a variant of its type that is not taken. Open it and save it anew as PNG or JPEG.",
    )

    # The request as such
    MALFORMED_REQUEST = (
        400,
        "The request cannot be read",
        "The body is not valid multipart/form-data, or a header is broken. Let an HTTP library build it.",
    )
    HEAD_TOO_LARGE = (
        431,
        "The request's headers are too long",
        "No header of this service needs more than a few hundred bytes. Look for cookies and tokens of other sites.",
    )
    UNSUPPORTED_MEDIA_TYPE = (
        415,
        "The body has the wrong type",
        "Send multipart/form-data, with the picture as a file: `curl -F image=@photo.jpg`.",
    )
    REQUEST_TOO_LARGE = (
        413,
        "The request is too large",
        "The whole body has a limit too, chunked or not. Send fewer or smaller references.",
    )
    UPLOAD_TIMEOUT = (
        408,
        "The body did not arrive in time",
        "Send it again, over a faster line or made smaller.",
    )
    NOT_FOUND = (404, "There is nothing here", "Check the address; `/docs` lists what there is.")
    METHOD_NOT_ALLOWED = (
        405,
        "This address does not take that method",
        "The `Allow` header lists the methods.",
    )

    # Who asks
    KEY_REQUIRED = (
        401,
        "An API key is needed",
        "Send `Authorization: Bearer <key>`. Whoever runs the service makes keys: `refstar keys add NAME`.",
    )
    KEY_INVALID = (
        401,
        "The API key is not known",
        "It was revoked or mistyped, or belongs to another service. Ask whoever runs this one for another.",
    )
    QUOTA_EXCEEDED = (
        429,
        "The key has used up what it may ask for",
        "Nothing was stored. Send the request again after `Retry-After` seconds; the `RateLimit` header of every "
        "answer says how much is left, so that a program can slow down in time.",
    )
    TOO_MANY_UNFINISHED = (
        429,
        "The key has too many restorations that wait or run",
        "Nothing was stored. Wait until one ends, or cancel one; then send the request again.",
    )
    CROSS_SITE_REQUEST = (
        403,
        "Another web site may not ask for this",
        "Without API keys the service trusts whoever is at this machine, and no page that happens to be open in a "
        "browser there. Use the page of the service itself, or a program; to use it from pages, set up keys.",
    )
    WRONG_HOST = (
        421,
        "The request names another host",
        "Without API keys the service answers to `localhost` and to IP addresses only, so that no web site can "
        "pass for it. Use one of those, set up keys, or set `REFSTAR_OPEN_TO_NETWORK=true`.",
    )

    # Requests that may come twice
    IDEMPOTENCY_KEY_MALFORMED = (
        400,
        "The Idempotency-Key cannot be read",
        'Send one string in double quotes, say a UUID: `Idempotency-Key: "8e03978e-40d5-43e8-bc93-6894a57f9324"`.',
    )
    IDEMPOTENCY_KEY_REUSED = (
        422,
        "The Idempotency-Key belongs to another request",
        "Keys are remembered for 24 hours. Make up a new one for every request that is not a repetition.",
    )
    IDEMPOTENT_REQUEST_RUNNING = (
        409,
        "The first request with this Idempotency-Key is still being carried out",
        "Send it again after `Retry-After` seconds; then it is answered with what the first one made.",
    )

    # Webhooks
    WEBHOOK_URL_REFUSED = (
        422,
        "The webhook URL may not be called",
        "`detail` says why. Webhooks go to https:// addresses on the public internet, and to networks that whoever "
        "runs the service allows (`REFSTAR_WEBHOOK_NETWORKS`).",
    )
    WEBHOOK_URL_GONE = (
        422,
        "The webhook URL answered 410 Gone",
        "With 410 a receiver says that it wants no more webhooks, so it gets none for a week. Use another URL.",
    )
    WEBHOOKS_NOT_CONFIGURED = (
        422,
        "There is no secret to sign webhooks with",
        "Without API keys, whoever runs the service must set `REFSTAR_WEBHOOK_SECRET`; a key that has no secret gets "
        "one by `refstar keys secret NAME`.",
    )
    TOO_MANY_WEBHOOKS = (
        429,
        "Too many webhooks could not be delivered yet",
        "Nothing was stored. Look at what the receiver answers; leave `webhook_url` out, or try again later.",
    )

    # A restoration
    UNKNOWN_RESTORATION = (
        404,
        "There is no such restoration",
        "It never existed, was deleted, or expired so long ago that its memory is gone.",
    )
    RESULT_NOT_READY = (
        409,
        "The result is not ready",
        "Ask again after `Retry-After` seconds, or wait for the restoration with `Prefer: wait=30`.",
    )
    RESTORATION_FAILED = (
        409,
        "The restoration failed, so there is no result",
        "`failure` says why. It was not tried again after that; submit it anew if the cause is gone.",
    )
    RESTORATION_CANCELED = (409, "The restoration was canceled, so there is no result", "Submit it anew.")
    RESTORATION_EXPIRED = (
        410,
        "The restoration has expired",
        "Results are deleted some time after they are made (`expires_at`). Submit it anew.",
    )
    NO_SELECTION = (
        404,
        "There is no selection picture",
        "It shows what was taken from which reference, and this restoration had no reference that was used.",
    )

    # A stored person
    UNKNOWN_PERSON = (
        404,
        "There is no such person",
        "They were never stored, were deleted, or have expired. `GET /v1/people` lists those there are.",
    )
    PERSON_NOT_READY = (
        409,
        "The person is still being prepared",
        "A worker looks at the references first. Ask again after `Retry-After` seconds, or store people with "
        "`Prefer: wait=30`.",
    )
    PERSON_FAILED = (
        409,
        "Of this person no reference can be used",
        "`failure` says why. Delete the person and store them anew with other references.",
    )
    MISSING_REFERENCES = (
        422,
        "There is no reference to store",
        "Send photographs of the person as files in the form field `references`: `curl -F references=@photo.jpg`.",
    )
    TOO_MANY_PEOPLE = (
        409,
        "There are as many people as may be stored",
        "`limit` says how many. Delete those who are no longer needed; they also expire by themselves.",
    )

    # What a worker reports of a job
    PERSON_GONE = (
        410,
        "The person was deleted before a worker came to it",
        "Or expired. Store the person anew and submit the restoration again.",
    )
    INFERENCE_FAILED = (
        500,
        "The model could not restore the picture",
        "The picture is valid, and computing failed. Submitting it again may help; if not, report it.",
    )
    WORKER_LOST = (
        500,
        "The workers were lost while restoring",
        "Every attempt ended with its worker gone. The picture may be what breaks it: report it with the id.",
    )
    INPUT_EXPIRED = (
        410,
        "The picture was gone before a worker came to it",
        "It waited longer than uploads are kept. Submit it anew.",
    )

    # The service
    QUEUE_FULL = (
        429,
        "The queue is full",
        "Nothing was stored. Send the request again after `Retry-After` seconds.",
    )
    TOO_MANY_UPLOADS = (
        503,
        "Too many uploads at the same time",
        "Nothing was stored. Send the request again after `Retry-After` seconds.",
    )
    TOO_MANY_STREAMS = (
        503,
        "Too many event streams at the same time",
        "Poll the restoration as its `Retry-After` says, or try again in a moment.",
    )
    QUEUE_UNAVAILABLE = (
        503,
        "The queue cannot be used",
        "Redis does not answer, is out of memory or cannot write to its disk; `detail` says which. Accepted "
        "restorations are kept; try again in a moment.",
    )
    STORAGE_UNAVAILABLE = (
        503,
        "Pictures cannot be stored",
        "The folder for pictures cannot be used or is full. Nothing was queued; try again later.",
    )
    NO_MODEL = (
        503,
        "There is no model",
        "This service was started without a model. Its operator must add one.",
    )
    NOT_READY = (
        503,
        "The service is not ready",
        "`detail` says what is missing: Redis, a worker, or it is stopping.",
    )
    INTERNAL_ERROR = (
        500,
        "Something went wrong in the service",
        "It was logged with the `request_id`: quote it when you report this.",
    )

    def __init__(self, status: int, title: str, remedy: str) -> None:
        self.status = status
        self.title = title
        self.remedy = remedy

    @property
    def slug(self) -> str:
        return self.name.lower().replace("_", "-")

    @property
    def uri(self) -> str:
        return f"/problems/{self.slug}"

    @classmethod
    def of(cls, slug: str) -> ProblemType | None:
        return _BY_SLUG.get(slug)


_BY_SLUG = {problem.slug: problem for problem in ProblemType}


class Problem(Exception):  # noqa: N818  an answer, not a fault
    """An answer to give instead of what was asked for; `extensions` are further members of its body."""

    def __init__(
        self,
        type: ProblemType,  # noqa: A002  RFC 9457's word
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extensions: Any,
    ) -> None:
        super().__init__(detail)
        self.type = type
        self.detail = detail
        self.headers = dict(headers or {})
        self.extensions = extensions

    def response(self, *, instance: str, request_id: str) -> JSONResponse:
        body = {
            "type": self.type.uri,
            "title": self.type.title,
            "status": self.type.status,
            "detail": self.detail,
            "instance": instance,
            "request_id": request_id,
            **self.extensions,
        }
        return JSONResponse(body, self.type.status, self.headers, MEDIA_TYPE)
