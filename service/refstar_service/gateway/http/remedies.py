"""What every problem means and what to do about it, for the pages that explain problems."""

from collections.abc import Mapping

from refstar_service.gateway.http.problem_types import ProblemType, say_limits

_REMEDIES: Mapping[ProblemType, str] = {
    # What the request asks for
    ProblemType.INVALID_PARAMETER: (
        "`errors` lists every invalid parameter and what is allowed. Correct them and send the request again."
    ),
    ProblemType.UNKNOWN_PARAMETER: (
        "Unknown fields are never ignored. Check the spelling; `/docs` lists the fields."
    ),
    ProblemType.MISSING_IMAGE: (
        "Send the degraded picture as a file in the form field `image`: `curl -F image=@photo.jpg`. Or name it by URL "
        "in `image_url`."
    ),
    ProblemType.TOO_MANY_REFERENCES: (
        "Send fewer. `GET /v1/models` lists how many each model takes; a few sharp ones are better than many."
    ),
    ProblemType.REFERENCES_REQUIRED: (
        "Send a sharp picture of the same person as `references`, or choose a model that works without one."
    ),
    ProblemType.UNKNOWN_MODEL: "`GET /v1/models` lists the installed models.",
    ProblemType.RESULT_TOO_LARGE: (
        "The limits on pixels and side length also apply to the result. Use a smaller `upscale`, or send a smaller "
        "picture."
    ),
    ProblemType.NOT_SQUARE: (
        "With `faces=aligned`, the picture and its references must be square face crops (sides may differ by 2 %). "
        "Crop them to any size, or leave out `faces` to have faces found in whole photographs."
    ),
    # The faces in them
    ProblemType.NO_FACE_FOUND: (
        "Nothing was changed and there is no result. `faces` lists what was found and why it was skipped. If the "
        "picture does show a face, draw a box around it (`boxes`), or crop it with the eyes level and use "
        "`faces=aligned`."
    ),
    ProblemType.FACE_TOO_SMALL: (
        "`faces` lists each one with its box. Send a larger scan of the picture, or lower `min_face` (16 at least). "
        "With so few pixels, most of the result is invented."
    ),
    ProblemType.REFERENCE_WITHOUT_FACE: (
        "`detail` names the file. Send a picture that shows the face from the front, or leave this one out."
    ),
    ProblemType.SEVERAL_FACES: (
        "The service cannot tell which person you mean; `detail` lists the boxes. Crop the reference to one person, "
        "or use `reference_face=largest` if you mean the largest face."
    ),
    ProblemType.REFERENCE_TOO_SMALL: (
        "The reference was left out; `references` gives the size of its face. Send one with at least 40 pixels "
        "between the eyes. A restoration only fails because of this if its model needs a reference and has no other."
    ),
    ProblemType.REFERENCE_TOO_BLURRED: (
        "The reference was left out; `references` gives its measured sharpness. Send a sharper one. A restoration "
        "only fails because of this if its model needs a reference and has no other."
    ),
    ProblemType.REFERENCE_STRANGER: (
        "The request has `stranger=refuse`; `same_person` in `faces` gives, for each reference, the probability that "
        "it shows the person of the face. Send one of the right person. With `stranger=ignore`, hardly anything is "
        "taken from such a reference. If you know that it is the same person, `stranger=use` uses it all the same. "
        "A face that can hardly be recognized is easily taken for somebody else's."
    ),
    ProblemType.REFERENCE_SURPLUS: (
        "The reference was left out, because only so many are used and others are sharper. `GET /v1/models` lists "
        "`max_references` of each model; of several people in one photograph, 16 are used together."
    ),
    ProblemType.REFERENCE_REMOVED: (
        "It was removed after the restoration was accepted, so the restoration went on without it."
    ),
    # The pictures themselves
    ProblemType.IMAGE_EMPTY: "The file has no bytes. Check the path and the upload.",
    ProblemType.NOT_AN_IMAGE: (
        "Its first bytes match no known picture type. Send JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC, JPEG 2000 or GIF."
    ),
    ProblemType.IMAGE_TYPE_UNSUPPORTED: (
        "Convert the picture to JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC, JPEG 2000 or GIF."
    ),
    ProblemType.IMAGE_TYPE_MISMATCH: (
        "The Content-Type of the part names no image type, but the bytes are an image. Correct it or leave it out."
    ),
    ProblemType.IMAGE_TRUNCATED: (
        "The file ends too early, often because a transfer was interrupted. Missing parts are never filled in: send "
        "the whole file."
    ),
    ProblemType.IMAGE_TOO_MANY_BYTES: (
        "`detail` gives the limit. Save the picture with stronger compression or at a smaller size."
    ),
    ProblemType.IMAGE_TOO_MANY_PIXELS: (
        "`detail` gives the limit. The size was read from the header; the picture was not decoded. Scale it down or "
        "crop it."
    ),
    ProblemType.IMAGE_TOO_SMALL: "`detail` gives the limit. Send a larger picture.",
    ProblemType.IMAGE_ANIMATED: (
        "Animations and documents with several pages are not supported. Send one frame as a still picture."
    ),
    ProblemType.IMAGE_UNDECODABLE: (
        "It is damaged, or an unsupported variant of its type. Open it and save it again as PNG or JPEG."
    ),
    # The request as such
    ProblemType.MALFORMED_REQUEST: (
        "The body is not valid multipart/form-data or JSON, or a header is broken. Let an HTTP library build the "
        "request."
    ),
    ProblemType.HEAD_TOO_LARGE: (
        "This service needs no header longer than a few hundred bytes. Check for cookies and tokens of other sites."
    ),
    ProblemType.UNSUPPORTED_MEDIA_TYPE: (
        "Send multipart/form-data with the picture as a file: `curl -F image=@photo.jpg`. Or send application/json "
        "with `image_url`."
    ),
    ProblemType.REQUEST_TOO_LARGE: (
        "The whole body has a limit too, chunked or not. Send fewer or smaller references."
    ),
    ProblemType.UPLOAD_TIMEOUT: "Send the request again over a faster connection, or send smaller files.",
    ProblemType.NOT_FOUND: "Check the address; `/docs` lists the API.",
    ProblemType.METHOD_NOT_ALLOWED: "The `Allow` header lists the methods of this address.",
    # Who asks
    ProblemType.KEY_REQUIRED: (
        "Send `Authorization: Bearer <key>`. The operator of the service creates keys with `refstar keys add NAME`."
    ),
    ProblemType.KEY_INVALID: (
        "It was revoked or mistyped, or belongs to another service. Ask the operator of this service for a new one."
    ),
    ProblemType.QUOTA_EXCEEDED: (
        "Nothing was stored. Send the request again after `Retry-After` seconds. The `RateLimit` header of every "
        "response says how much is left, so that a program can slow down in time. The operator of the service can give "
        "a key limits of its own (`refstar keys limit NAME`)."
    ),
    ProblemType.TOO_MANY_UNFINISHED: (
        "Nothing was stored. Wait until a restoration ends, or cancel one; then send the request again. The operator "
        "of the service can give a key a limit of its own (`refstar keys limit NAME --unfinished N`)."
    ),
    ProblemType.KEYS_UNAVAILABLE: (
        "The service cannot tell whose key this is. Its operator finds the reason in the log. Try again later."
    ),
    ProblemType.CROSS_SITE_REQUEST: (
        "Without API keys, the service trusts the people at this machine, but not every page that is open in their "
        "browsers. Use the service's own page or a program, or list the origin of the page in `REFSTAR_CORS_ORIGINS`."
    ),
    ProblemType.PRIORITY_NOT_PERMITTED: (
        "Leave out `priority`: keys take turns, so nobody waits for everything that others have queued. The operator "
        "of the service permits it with `refstar keys limit NAME --may-prioritize`."
    ),
    ProblemType.WRONG_HOST: (
        "The service answers only to `localhost`, to IP addresses and to the names that its operator lists in "
        "`REFSTAR_HOST_NAMES`, so that no web site can impersonate it. Use one of those, or add the name."
    ),
    # Requests that may come twice
    ProblemType.IDEMPOTENCY_KEY_MALFORMED: (
        "Send one string in double quotes, such as a UUID: "
        '`Idempotency-Key: "8e03978e-40d5-43e8-bc93-6894a57f9324"`.'
    ),
    ProblemType.IDEMPOTENCY_KEY_REUSED: (
        "Keys are remembered for 24 hours. Use a new key for every request that is not a repetition."
    ),
    ProblemType.IDEMPOTENT_REQUEST_RUNNING: (
        "Send the request again after `Retry-After` seconds. The response then describes what the first one created."
    ),
    # Webhooks
    ProblemType.WEBHOOK_URL_REFUSED: (
        "`detail` says why. Webhooks are sent to https:// addresses on the public internet, and to networks that the "
        "operator allows (`REFSTAR_WEBHOOK_NETWORKS`, `REFSTAR_WEBHOOK_PORTS`)."
    ),
    ProblemType.WEBHOOK_URL_GONE: (
        "A receiver that responds with 410 wants no more webhooks, so it gets none for a week. Use another URL."
    ),
    ProblemType.WEBHOOKS_NOT_CONFIGURED: (
        "Without API keys, the operator must set `REFSTAR_WEBHOOK_SECRET`. For an API key that has no secret, create "
        "one with `refstar keys secret NAME`."
    ),
    ProblemType.TOO_MANY_WEBHOOKS: (
        "Nothing was stored. Check what the receiver responds; leave out `webhook_url`, or try again later."
    ),
    # Pictures by URL
    ProblemType.URLS_DISABLED: (
        "Send pictures as files, and download the result. The operator can allow URLs with `REFSTAR_FETCH_URLS`."
    ),
    ProblemType.IMAGE_URL_REFUSED: (
        "`detail` says why. Pictures are fetched from https:// addresses on the public internet, and from networks "
        "that the operator allows (`REFSTAR_URL_NETWORKS`, `REFSTAR_URL_PORTS`); redirects must lead there too. URLs "
        "with a user name or a password are refused: use a presigned URL, or send the file."
    ),
    ProblemType.IMAGE_URL_UNREACHABLE: (
        "It was tried several times; `detail` says how the last attempt ended. Check the URL and the server's "
        "certificate, and submit the restoration again."
    ),
    ProblemType.IMAGE_URL_REJECTED: (
        "`detail` has its answer. 401 and 403 mean that the URL needs a signature or that it has expired, 404 that the "
        "picture is not there. Check that the URL works without cookies, and submit the restoration again."
    ),
    ProblemType.IMAGE_URL_TIMEOUT: (
        "All pictures of a restoration must arrive within the limit, repeated attempts included. Use a faster server, "
        "or send the files."
    ),
    ProblemType.OUTPUT_URL_REFUSED: (
        "`detail` says why. The rules are those for URLs of pictures (`REFSTAR_URL_NETWORKS`, `REFSTAR_URL_PORTS`)."
    ),
    ProblemType.OUTPUT_URL_UNREACHABLE: (
        "The server of `output_url` was tried several times; `detail` says how the last attempt ended. The picture was "
        "restored, but nothing is kept: submit the restoration again, or without `output_url` to download the result."
    ),
    ProblemType.OUTPUT_URL_REJECTED: (
        "`detail` has its answer. 403 mostly means that the signature has expired or was made for another method or "
        "Content-Type: sign a PUT that lasts longer than the queue, without a Content-Type or with that of the result. "
        "Nothing is kept: submit the restoration again with a new URL."
    ),
    ProblemType.OUTPUT_URL_TIMEOUT: (
        "Repeated attempts are included. Nothing is kept: submit the restoration again, with a faster server or "
        "without `output_url`."
    ),
    # A restoration
    ProblemType.UNKNOWN_RESTORATION: (
        "It never existed, was deleted, or expired so long ago that it has been forgotten."
    ),
    ProblemType.RESULT_NOT_READY: (
        "Try again after `Retry-After` seconds, or wait for the restoration with `Prefer: wait=30`."
    ),
    ProblemType.RESTORATION_FAILED: (
        "`failure` says why. The service will not try again; submit it again once the cause is gone."
    ),
    ProblemType.RESTORATION_CANCELED: "Submit it again if you still want the result.",
    ProblemType.RESTORATION_EXPIRED: (
        "Results are deleted some time after they are made (`expires_at`), and a restoration that no worker ends in "
        "time has none; `detail` says which it was. Submit it again."
    ),
    ProblemType.NO_SELECTION: (
        "It shows what was taken from which reference, and this restoration used no reference."
    ),
    # A stored person
    ProblemType.UNKNOWN_PERSON: (
        "They were never stored, were deleted, or have expired. `GET /v1/people` lists your people."
    ),
    ProblemType.PERSON_NOT_READY: (
        "A worker has to look at the references first. Try again after `Retry-After` seconds, or store and change "
        "people with `Prefer: wait=30`."
    ),
    ProblemType.PERSON_FAILED: (
        "`failure` says why. Delete the person and store them again with other references."
    ),
    ProblemType.MISSING_REFERENCES: (
        "Send photographs of the person as files in the form field `references`: `curl -F references=@photo.jpg`. Or "
        "name them by URL in `reference_urls`."
    ),
    ProblemType.TOO_MANY_PEOPLE: (
        "`limit` gives the number. Delete people you no longer need; they also expire by themselves."
    ),
    # What a worker reports of a job
    ProblemType.PERSON_GONE: (
        "They were deleted or have expired. Store the person again and submit the restoration again."
    ),
    ProblemType.INFERENCE_FAILED: (
        "The picture is valid, but the computation failed. Submit it again; if it fails again, report it."
    ),
    ProblemType.WORKER_LOST: (
        "No attempt ended. The picture itself may be the cause: report it with its request_id."
    ),
    ProblemType.RECORD_UNREADABLE: (
        "Another version of the service wrote it, or it is damaged; `detail` says what is wrong. Submit it again once "
        "gateways and workers run the same version."
    ),
    ProblemType.INPUT_EXPIRED: (
        "The restoration was queued for longer than uploads are kept. Submit it again."
    ),
    # The service
    ProblemType.QUEUE_FULL: "Nothing was stored. Send the request again after `Retry-After` seconds.",
    ProblemType.STORAGE_FULL: (
        "Nothing was stored. `detail` says which limit was reached, how much of it is yours, and when room comes back. "
        "`DELETE` restorations and people that you no longer need: that makes room at once."
    ),
    ProblemType.TOO_MANY_UPLOADS: "Nothing was stored. Send the request again after `Retry-After` seconds.",
    ProblemType.TOO_MANY_STREAMS: (
        "Poll the restoration at the interval in its `Retry-After`, or try again in a moment."
    ),
    ProblemType.TOO_MANY_CONNECTIONS: (
        "Nothing was stored. Send the request again after `Retry-After` seconds, and fewer at the same time."
    ),
    ProblemType.QUEUE_UNAVAILABLE: (
        "Redis does not respond, is out of memory, or cannot write to its disk; `detail` says which. Accepted "
        "restorations are not lost. Try again in a moment."
    ),
    ProblemType.STORAGE_UNAVAILABLE: (
        "The store does not respond, cannot be written, or is full. Nothing was queued. Try again later."
    ),
    ProblemType.NO_MODEL: "This service was started without a model. Its operator must install one.",
    ProblemType.NOT_READY: (
        "`detail` says why: Redis or a worker is missing, pictures cannot be stored, or the service is stopping."
    ),
    ProblemType.INTERNAL_ERROR: "The error was logged with the `request_id`; quote it when you report this.",
}


def describe_remedy(problem: ProblemType) -> str:
    """What it means, what to do, and the settings that change its limit, if it is about one."""
    return f"{_REMEDIES[problem]} {say_limits([f'`{name}`' for name in problem.settings])}".rstrip()
