"""Every way in which a request can fail, each with a stable name.

The type of a problem is `/problems/<slug>`, and that address answers what it means and what to do about it.
Slugs are part of the contract: they are added, never renamed. The status says what is wrong with the request
(422: well-formed, but not something that can be done), the slug says what exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum


def _say(settings: Sequence[str]) -> str:
    if len(settings) < 2:
        return f"The limit is the setting {settings[0]}." if settings else ""
    return f"The limits are the settings {', '.join(settings[:-1])} and {settings[-1]}."


class ProblemType(Enum):
    """Status, title, what it means and what to do, and the settings that change its limit, if it is about one. The slug
    is the name in lower case with hyphens."""

    # What the request asks for
    INVALID_PARAMETER = (
        422,
        "A parameter has an invalid value",
        "`errors` lists every invalid parameter and what is allowed. Correct them and send the request again.",
    )
    UNKNOWN_PARAMETER = (
        422,
        "The request has an unknown field",
        "Unknown fields are never ignored. Check the spelling; `/docs` lists the fields.",
    )
    MISSING_IMAGE = (
        422,
        "The picture to restore is missing",
        "Send the degraded picture as a file in the form field `image`: `curl -F image=@photo.jpg`. Or name it by URL "
        "in `image_url`.",
    )
    TOO_MANY_REFERENCES = (
        422,
        "There are more references than allowed",
        "Send fewer. `GET /v1/models` lists how many each model takes; a few sharp ones are better than many.",
        "max_references",
    )
    REFERENCES_REQUIRED = (
        422,
        "This model needs at least one reference",
        "Send a sharp picture of the same person as `references`, or choose a model that works without one.",
    )
    UNKNOWN_MODEL = (422, "No such model", "`GET /v1/models` lists the installed models.")
    RESULT_TOO_LARGE = (
        422,
        "The enlarged picture would be too large",
        "The limits on pixels and side length also apply to the result. Use a smaller `upscale`, or send a smaller "
        "picture.",
        "max_image_pixels",
        "max_image_side",
    )
    NOT_SQUARE = (
        422,
        "An aligned picture must be square",
        "With `faces=aligned`, the picture and its references must be square face crops (sides may differ by 2 %). "
        "Crop them to any size, or leave out `faces` to have faces found in whole photographs.",
    )

    # The faces in them
    NO_FACE_FOUND = (
        422,
        "No face was found to restore",
        "Nothing was changed and there is no result. `faces` lists what was found and why it was skipped. If the "
        "picture does show a face, draw a box around it (`boxes`), or crop it with the eyes level and use "
        "`faces=aligned`.",
    )
    FACE_TOO_SMALL = (
        422,
        "Every requested face is too small",
        "`faces` lists each one with its box. Send a larger scan of the picture, or lower `min_face` (16 at least). "
        "With so few pixels, most of the result is invented.",
    )
    REFERENCE_WITHOUT_FACE = (
        422,
        "A reference shows no face",
        "`detail` names the file. Send a picture that shows the face from the front, or leave this one out.",
    )
    SEVERAL_FACES = (
        422,
        "A reference shows several faces",
        "The service cannot tell which person you mean; `detail` lists the boxes. Crop the reference to one person, "
        "or use `reference_face=largest` if you mean the largest face.",
    )
    REFERENCE_TOO_SMALL = (
        422,
        "The face in a reference is too small to help",
        "The reference was left out; `references` gives the size of its face. Send one with at least 40 pixels "
        "between the eyes. A restoration only fails because of this if its model needs a reference and has no other.",
    )
    REFERENCE_TOO_BLURRED = (
        422,
        "The face in a reference is too blurred to help",
        "The reference was left out; `references` gives its measured sharpness. Send a sharper one. A restoration "
        "only fails because of this if its model needs a reference and has no other.",
    )
    REFERENCE_SURPLUS = (
        422,
        "Fewer references are used than the person has",
        "The reference was left out, because only so many are used and others are sharper. `GET /v1/models` lists "
        "`max_references` of each model; of several people in one photograph, 16 are used together.",
    )
    REFERENCE_REMOVED = (
        422,
        "The reference was removed from the person",
        "It was removed after the restoration was accepted, so the restoration went on without it.",
    )

    # The pictures themselves
    IMAGE_EMPTY = (422, "The picture is empty", "The file has no bytes. Check the path and the upload.")
    NOT_AN_IMAGE = (
        422,
        "The file is not a picture",
        "Its first bytes match no known picture type. Send JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC, JPEG 2000 or GIF.",
    )
    IMAGE_TYPE_UNSUPPORTED = (
        422,
        "This picture type is not supported",
        "Convert the picture to JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC, JPEG 2000 or GIF.",
    )
    IMAGE_TYPE_MISMATCH = (
        422,
        "The picture is sent as something else than a picture",
        "The Content-Type of the part names no image type, but the bytes are an image. Correct it or leave it out.",
    )
    IMAGE_TRUNCATED = (
        422,
        "The picture is incomplete",
        "The file ends too early, often because a transfer was interrupted. Missing parts are never filled in: send "
        "the whole file.",
    )
    IMAGE_TOO_MANY_BYTES = (
        413,
        "A picture has too many bytes",
        "`detail` gives the limit. Save the picture with stronger compression or at a smaller size.",
        "max_image_bytes",
    )
    IMAGE_TOO_MANY_PIXELS = (
        422,
        "A picture has too many pixels",
        "`detail` gives the limit. The size was read from the header; the picture was not decoded. Scale it down or "
        "crop it.",
        "max_image_pixels",
        "max_image_side",
    )
    IMAGE_TOO_SMALL = (
        422,
        "A picture is too small",
        "`detail` gives the limit. Send a larger picture.",
        "min_image_side",
    )
    IMAGE_ANIMATED = (
        422,
        "A picture has more than one frame",
        "Animations and documents with several pages are not supported. Send one frame as a still picture.",
    )
    IMAGE_UNDECODABLE = (
        422,
        "The picture cannot be decoded",
        "It is damaged, or an unsupported variant of its type. Open it and save it again as PNG or JPEG.",
    )

    # The request as such
    MALFORMED_REQUEST = (
        400,
        "The request cannot be read",
        "The body is not valid multipart/form-data or JSON, or a header is broken. Let an HTTP library build the "
        "request.",
    )
    HEAD_TOO_LARGE = (
        431,
        "The request's headers are too long",
        "This service needs no header longer than a few hundred bytes. Check for cookies and tokens of other sites.",
    )
    UNSUPPORTED_MEDIA_TYPE = (
        415,
        "The body has the wrong type",
        "Send multipart/form-data with the picture as a file: `curl -F image=@photo.jpg`. Or send application/json "
        "with `image_url`.",
    )
    REQUEST_TOO_LARGE = (
        413,
        "The request is too large",
        "The whole body has a limit too, chunked or not. Send fewer or smaller references.",
        "max_request_bytes",
        "storage_bytes",
        "storage_bytes_per_key",
    )
    UPLOAD_TIMEOUT = (
        408,
        "The upload took too long",
        "Send the request again over a faster connection, or send smaller files.",
        "upload_timeout",
    )
    NOT_FOUND = (404, "Not found", "Check the address; `/docs` lists the API.")
    METHOD_NOT_ALLOWED = (405, "Method not allowed", "The `Allow` header lists the methods of this address.")

    # Who asks
    KEY_REQUIRED = (
        401,
        "An API key is required",
        "Send `Authorization: Bearer <key>`. The operator of the service creates keys with `refstar keys add NAME`.",
    )
    KEY_INVALID = (
        401,
        "The API key is invalid",
        "It was revoked or mistyped, or belongs to another service. Ask the operator of this service for a new one.",
    )
    QUOTA_EXCEEDED = (
        429,
        "The API key has exceeded its quota",
        "Nothing was stored. Send the request again after `Retry-After` seconds. The `RateLimit` header of every "
        "response says how much is left, so that a program can slow down in time. The operator of the service can give "
        "a key limits of its own (`refstar keys limit NAME`).",
        "requests_per_minute",
        "restorations_per_day",
    )
    TOO_MANY_UNFINISHED = (
        429,
        "The API key has too many unfinished restorations",
        "Nothing was stored. Wait until a restoration ends, or cancel one; then send the request again. The operator "
        "of the service can give a key a limit of its own (`refstar keys limit NAME --unfinished N`).",
        "unfinished_per_key",
    )
    KEYS_UNAVAILABLE = (
        503,
        "The API keys cannot be read",
        "The service cannot tell whose key this is. Its operator finds the reason in the log. Try again later.",
    )
    CROSS_SITE_REQUEST = (
        403,
        "Requests from other web sites are not allowed",
        "Without API keys, the service trusts the people at this machine, but not every page that is open in their "
        "browsers. Use the service's own page or a program, or list the origin of the page in `REFSTAR_CORS_ORIGINS`.",
    )
    PRIORITY_NOT_PERMITTED = (
        403,
        "This API key may not use priority=high",
        "Leave out `priority`: keys take turns, so nobody waits for everything that others have queued. The operator "
        "of the service permits it with `refstar keys limit NAME --may-prioritize`.",
    )
    WRONG_HOST = (
        421,
        "The request is for another host",
        "The service answers only to `localhost`, to IP addresses and to the names that its operator lists in "
        "`REFSTAR_HOST_NAMES`, so that no web site can impersonate it. Use one of those, or add the name.",
    )

    # Requests that may come twice
    IDEMPOTENCY_KEY_MALFORMED = (
        400,
        "The Idempotency-Key is malformed",
        "Send one string in double quotes, such as a UUID: "
        '`Idempotency-Key: "8e03978e-40d5-43e8-bc93-6894a57f9324"`.',
    )
    IDEMPOTENCY_KEY_REUSED = (
        422,
        "The Idempotency-Key belongs to another request",
        "Keys are remembered for 24 hours. Use a new key for every request that is not a repetition.",
    )
    IDEMPOTENT_REQUEST_RUNNING = (
        409,
        "The first request with this Idempotency-Key is still in progress",
        "Send the request again after `Retry-After` seconds. The response then describes what the first one created.",
    )

    # Webhooks
    WEBHOOK_URL_REFUSED = (
        422,
        "The webhook URL is not allowed",
        "`detail` says why. Webhooks are sent to https:// addresses on the public internet, and to networks that the "
        "operator allows (`REFSTAR_WEBHOOK_NETWORKS`, `REFSTAR_WEBHOOK_PORTS`).",
    )
    WEBHOOK_URL_GONE = (
        422,
        "The webhook URL responded with 410 Gone",
        "A receiver that responds with 410 wants no more webhooks, so it gets none for a week. Use another URL.",
    )
    WEBHOOKS_NOT_CONFIGURED = (
        422,
        "There is no secret to sign webhooks with",
        "Without API keys, the operator must set `REFSTAR_WEBHOOK_SECRET`. For an API key that has no secret, create "
        "one with `refstar keys secret NAME`.",
    )
    TOO_MANY_WEBHOOKS = (
        429,
        "Too many webhooks are undelivered",
        "Nothing was stored. Check what the receiver responds; leave out `webhook_url`, or try again later.",
        "webhook_backlog",
    )

    # Pictures by URL
    URLS_DISABLED = (
        422,
        "This service fetches nothing from URLs and delivers nothing to them",
        "Send pictures as files, and download the result. The operator can allow URLs with `REFSTAR_FETCH_URLS`.",
    )
    IMAGE_URL_REFUSED = (
        422,
        "The URL of a picture is not allowed",
        "`detail` says why. Pictures are fetched from https:// addresses on the public internet, and from networks "
        "that the operator allows (`REFSTAR_URL_NETWORKS`, `REFSTAR_URL_PORTS`); redirects must lead there too. URLs "
        "with a user name or a password are refused: use a presigned URL, or send the file.",
    )
    IMAGE_URL_UNREACHABLE = (
        422,
        "The server of a picture cannot be reached",
        "It was tried several times; `detail` says what came of the last one. Check the URL and the server's "
        "certificate, and submit the restoration again.",
    )
    IMAGE_URL_REJECTED = (
        422,
        "The server of a picture does not give it out",
        "`detail` has its answer. 401 and 403 mean that the URL needs a signature or that it has expired, 404 that the "
        "picture is not there. Check that the URL works without cookies, and submit the restoration again.",
    )
    IMAGE_URL_TIMEOUT = (
        422,
        "A picture took too long to arrive",
        "All pictures of a restoration must arrive within the limit, repeated attempts included. Use a faster server, "
        "or send the files.",
        "url_timeout",
    )
    OUTPUT_URL_REFUSED = (
        422,
        "The URL for the result is not allowed",
        "`detail` says why. The rules are those for URLs of pictures (`REFSTAR_URL_NETWORKS`, `REFSTAR_URL_PORTS`).",
    )
    OUTPUT_URL_UNREACHABLE = (
        422,
        "The result could not be delivered",
        "The server of `output_url` was tried several times; `detail` says what came of the last one. The picture was "
        "restored, but nothing is kept: submit the restoration again, or without `output_url` to download the result.",
    )
    OUTPUT_URL_REJECTED = (
        422,
        "The server of the output URL does not take the result",
        "`detail` has its answer. 403 mostly means that the signature has expired or was made for another method or "
        "Content-Type: sign a PUT that lasts longer than the queue, without a Content-Type or with that of the result. "
        "Nothing is kept: submit the restoration again with a new URL.",
    )
    OUTPUT_URL_TIMEOUT = (
        422,
        "The result took too long to be delivered",
        "Repeated attempts are included. Nothing is kept: submit the restoration again, with a faster server or "
        "without `output_url`.",
        "url_timeout",
    )

    # A restoration
    UNKNOWN_RESTORATION = (
        404,
        "No such restoration",
        "It never existed, was deleted, or expired so long ago that it has been forgotten.",
    )
    RESULT_NOT_READY = (
        409,
        "The result is not ready",
        "Try again after `Retry-After` seconds, or wait for the restoration with `Prefer: wait=30`.",
    )
    RESTORATION_FAILED = (
        409,
        "The restoration failed, so there is no result",
        "`failure` says why. The service will not try again; submit it again once the cause is gone.",
    )
    RESTORATION_CANCELED = (
        409,
        "The restoration was canceled, so there is no result",
        "Submit it again if you still want the result.",
    )
    RESTORATION_EXPIRED = (
        410,
        "The restoration has expired",
        "Results are deleted some time after they are made (`expires_at`). Submit it again.",
        "result_ttl",
    )
    NO_SELECTION = (
        404,
        "There is no selection picture",
        "It shows what was taken from which reference, and this restoration used no reference.",
    )

    # A stored person
    UNKNOWN_PERSON = (
        404,
        "No such person",
        "They were never stored, were deleted, or have expired. `GET /v1/people` lists your people.",
    )
    PERSON_NOT_READY = (
        409,
        "The person is still being prepared",
        "A worker has to look at the references first. Try again after `Retry-After` seconds, or store and change "
        "people with `Prefer: wait=30`.",
    )
    PERSON_FAILED = (
        409,
        "None of this person's references can be used",
        "`failure` says why. Delete the person and store them again with other references.",
    )
    MISSING_REFERENCES = (
        422,
        "There is no reference to store",
        "Send photographs of the person as files in the form field `references`: `curl -F references=@photo.jpg`. Or "
        "name them by URL in `reference_urls`.",
    )
    TOO_MANY_PEOPLE = (
        409,
        "The limit on stored people has been reached",
        "`limit` gives the number. Delete people you no longer need; they also expire by themselves.",
        "max_people",
        "storage_bytes",
    )

    # What a worker reports of a job
    PERSON_GONE = (
        410,
        "The person was gone before a worker started",
        "They were deleted or have expired. Store the person again and submit the restoration again.",
        "person_ttl",
    )
    INFERENCE_FAILED = (
        500,
        "The model could not restore the picture",
        "The picture is valid, but the computation failed. Submit it again; if it fails again, report it.",
    )
    WORKER_LOST = (
        500,
        "Every worker that tried this restoration was lost",
        "No attempt ended. The picture itself may be the cause: report it with its request_id.",
        "max_attempts",
    )
    RECORD_UNREADABLE = (
        500,
        "The record cannot be read by this version of the service",
        "Another version of the service wrote it, or it is damaged; `detail` says what is wrong. Submit it again once "
        "gateways and workers run the same version.",
    )
    INPUT_EXPIRED = (
        410,
        "The picture was gone before a worker started",
        "The restoration was queued for longer than uploads are kept. Submit it again.",
        "job_ttl",
    )

    # The service
    QUEUE_FULL = (
        429,
        "The queue is full",
        "Nothing was stored. Send the request again after `Retry-After` seconds.",
        "queue_limit",
    )
    STORAGE_FULL = (
        429,
        "There is no room to store pictures",
        "Nothing was stored. `detail` says which limit was reached, how much of it is yours, and when room comes back. "
        "`DELETE` restorations and people that you no longer need: that makes room at once.",
        "storage_bytes",
        "storage_bytes_per_key",
        "redis_memory_share",
    )
    TOO_MANY_UPLOADS = (
        503,
        "Too many uploads at the same time",
        "Nothing was stored. Send the request again after `Retry-After` seconds.",
        "max_uploads_at_once",
    )
    TOO_MANY_STREAMS = (
        503,
        "Too many event streams at the same time",
        "Poll the restoration at the interval in its `Retry-After`, or try again in a moment.",
        "max_event_streams",
    )
    TOO_MANY_CONNECTIONS = (
        503,
        "Too many connections at the same time",
        "Nothing was stored. Send the request again after `Retry-After` seconds, and fewer at the same time.",
        "max_connections",
    )
    QUEUE_UNAVAILABLE = (
        503,
        "The queue is unavailable",
        "Redis does not respond, is out of memory, or cannot write to its disk; `detail` says which. Accepted "
        "restorations are not lost. Try again in a moment.",
    )
    STORAGE_UNAVAILABLE = (
        503,
        "The picture store is unavailable",
        "The store does not respond, cannot be written, or is full. Nothing was queued. Try again later.",
    )
    NO_MODEL = (
        503,
        "No model is installed",
        "This service was started without a model. Its operator must install one.",
    )
    NOT_READY = (
        503,
        "The service is not ready",
        "`detail` says why: Redis or a worker is missing, pictures cannot be stored, or the service is stopping.",
    )
    INTERNAL_ERROR = (
        500,
        "Something went wrong in the service",
        "The error was logged with the `request_id`; quote it when you report this.",
    )

    def __init__(self, status: int, title: str, remedy: str, *settings: str) -> None:
        self.status = status
        self.title = title
        self.settings = tuple(f"REFSTAR_{name.upper()}" for name in settings)
        self.remedy = f"{remedy} {_say([f'`{name}`' for name in self.settings])}".rstrip()

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
        return f"{detail} {_say([setting] if setting else self.settings)}".rstrip()

    @classmethod
    def of(cls, slug: str) -> ProblemType | None:
        return _BY_SLUG.get(slug)


_BY_SLUG = {problem.slug: problem for problem in ProblemType}
