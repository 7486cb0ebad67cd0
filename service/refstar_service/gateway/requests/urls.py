"""The URLs of a request: refused if they may not be called, and then only named, for a worker to call."""

from collections.abc import Sequence
from urllib.parse import unquote, urldefrag, urlsplit

from refstar_service.gateway.http.filenames import safe_name
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.jobs import RemoteFile
from refstar_service.outgoing.endpoint import EndpointError, parse_endpoint
from refstar_service.outgoing.reach import picture_reach
from refstar_service.settings import Settings


def name_picture(url: str, label: str, settings: Settings) -> RemoteFile:
    """The picture at a URL, which the form calls ``label``; raises ProblemError. Resolves no name: fetching does."""
    url = _check(url, label, settings, ProblemType.IMAGE_URL_REFUSED)
    return RemoteFile(url, safe_name(unquote(urlsplit(url).path)))


def name_pictures(urls: Sequence[str], settings: Settings) -> list[RemoteFile]:
    """The same for references."""
    return [name_picture(url, f"reference_urls[{index}]", settings) for index, url in enumerate(urls)]


def name_output(url: str, settings: Settings) -> str:
    """Where the result is to be put; raises ProblemError."""
    return _check(url, "output_url", settings, ProblemType.OUTPUT_URL_REFUSED)


def _check(url: str, label: str, settings: Settings, refusal: ProblemType) -> str:
    if not settings.fetch_urls:
        raise ProblemError(
            ProblemType.URLS_DISABLED,
            f"{label}: this service connects to no URLs (REFSTAR_FETCH_URLS).",
            parameter=label,
        )
    url = urldefrag(url).url  # a fragment is for whoever reads the file
    try:
        parse_endpoint(url, picture_reach(settings))
    except EndpointError as refused:
        raise ProblemError(refusal, f"{label}: {refused}.", parameter=label) from None
    return url
