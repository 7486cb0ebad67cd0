"""The two pages: try it (`/`), and the interface with a form for every call (`/docs`). One static file each.

They load nothing from elsewhere, so they work without the internet and tell nobody who uses them. Their
policy lets in exactly the script and the style that stand in the file, by hash.
"""

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)


def _hash_elements(html: str, element: str) -> str:
    contents: list[str] = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def _write_policy(html: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash_elements(html, 'script')}",
            f"style-src {_hash_elements(html, 'style')}",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _load_page(name: str) -> tuple[str, dict[str, str]]:
    html = files(__package__).joinpath("page", name).read_text(encoding="utf-8")
    return html, {"Content-Security-Policy": _write_policy(html), "Cache-Control": "no-cache"}


_INDEX = _load_page("index.html")
_DOCS = _load_page("docs.html")


@router.get("/")
async def show_index() -> HTMLResponse:
    html, headers = _INDEX
    return HTMLResponse(html, headers=headers)


@router.get("/docs")
async def show_docs() -> HTMLResponse:
    html, headers = _DOCS
    return HTMLResponse(html, headers=headers)
