"""The two pages: restoring (`/`, with its modules under `/page/`), and the API with a form for every call (`/docs`).

They load nothing from elsewhere, so they work without the internet and tell nobody who uses them. No script stands in
the first one, and its policy lets in files of this service alone; the second is one file, whose policy lets in exactly
the script and the style that stand in it, by hash. Browsers ask whether their copy of a file is still the same, so
after an update no old module meets a new one.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

from fastapi import Response

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.http.representation import IfNoneMatch, match_etag
from refstar_service.gateway.http.router import new_router

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

router = new_router()


@dataclass(frozen=True)
class StaticFile:
    body: bytes
    headers: dict[str, str]

    def render(self, if_none_match: str | None) -> Response:
        """The file, or 304 if the client has it."""
        if match_etag(if_none_match, self.headers["ETag"]):
            kept = {name: value for name, value in self.headers.items() if name != "Content-Type"}
            return Response(status_code=304, headers=kept)
        return Response(self.body, headers=self.headers)


def _hash_elements(html: str, element: str) -> str:
    contents: list[str] = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def _write_policy(scripts: str, styles: str, images: str, *more: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {scripts}",
            f"style-src {styles}",
            f"img-src {images}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            *more,
        )
    )


def _load(name: str, **headers: str) -> StaticFile:
    body = files(__package__).joinpath("page", name).read_bytes()
    tag = hashlib.sha256(body + str(headers).encode()).hexdigest()[:24]
    return StaticFile(
        body,
        {
            "Content-Type": MEDIA_TYPES[name.rpartition(".")[2]],
            "Cache-Control": "no-cache",
            "ETag": f'"{tag}"',
            **headers,
        },
    )


def _load_docs() -> StaticFile:
    html = _load("docs.html").body.decode()
    policy = _write_policy(
        _hash_elements(html, "script"), _hash_elements(html, "style"), "'self' blob: data:"
    )
    return _load("docs.html", **{"Content-Security-Policy": policy})


def _load_parts() -> dict[str, StaticFile]:
    folder = files(__package__).joinpath("page")
    names = (item.name for item in folder.iterdir())
    return {name: _load(name) for name in names if name.endswith((".js", ".css", ".svg"))}


_INDEX = _load(
    "index.html",
    **{
        "Content-Security-Policy": _write_policy(
            "'self'",
            "'self'",
            "'self' blob:",
            "require-trusted-types-for 'script'",  # no text becomes markup or script
            "trusted-types 'none'",
        )
    },
)
_DOCS = _load_docs()
_PARTS = _load_parts()


@router.get("/")
async def show_index(if_none_match: IfNoneMatch = None) -> Response:
    return _INDEX.render(if_none_match)


@router.get("/docs")
async def show_docs(if_none_match: IfNoneMatch = None) -> Response:
    return _DOCS.render(if_none_match)


@router.get("/page/{name}")
async def show_part(name: str, if_none_match: IfNoneMatch = None) -> Response:
    part = _PARTS.get(name)
    if part is None:
        raise ProblemError(ProblemType.NOT_FOUND, "The page has no such part.")
    return part.render(if_none_match)
