"""A hook of mkdocs: links to files of the repository outside docs/ become plain text on the site, with their path."""

import posixpath
import re
from typing import Any

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+[^)#]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    return name_outside_files(markdown, page.file.src_uri)


def name_outside_files(markdown: str, page: str) -> str:
    """``page``: path below docs/."""

    def replace(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), found[2]))
        if path.startswith("docs/"):
            return found[0]
        words = found[1].strip("`")
        return f"`{path}`" if words == path else f"{found[1]} (`{path}` in the repository)"

    return LINK.sub(replace, markdown)
