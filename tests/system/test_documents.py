"""The documentation: links lead somewhere, every page is on the site, and the site is built where mkdocs is."""

import importlib.util
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from documented import DOCS

ROOT = DOCS.parent
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *(ROOT / f"{n}.md" for n in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")),
]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
SITE_LINKS = runpy.run_path(str(ROOT / "scripts" / "site_links.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    targets = [
        link for link in LINK.findall(page.read_text()) if not link.startswith(("http:", "https:", "mailto:"))
    ]
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_every_page_is_on_the_site() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    on_site = re.findall(r": ([\w/-]+\.md)$", text.partition("\nnav:")[2], re.M)
    assert sorted(on_site) == sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md"))


def test_links_out_of_the_documents_become_words_on_the_site() -> None:
    name = SITE_LINKS["name_outside_files"]
    assert (
        name("the [client](../client/README.md#x).", "a.md")
        == "the client (`client/README.md` in the repository)."
    )
    assert name("[columns](../../client/README.md)", "guides/a.md").startswith("columns (`client/README.md`")
    assert name("[`tests/a.py`](../tests/a.py)", "a.md") == "`tests/a.py`"
    assert (
        name("[faces](../faces.md#b) ![x](../a.png)", "guides/a.md")
        == "[faces](../faces.md#b) ![x](../a.png)"
    )


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed: make docs")
def test_the_site_is_built_without_a_warning_and_asks_no_other_host(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = re.compile(
        r'<(?:script|img|iframe)[^>]* src="https?://|<link[^>]* rel="stylesheet"[^>]* href="https?://'
    )
    assert [p.name for p in tmp_path.rglob("*.html") if loaded.search(p.read_text())] == []


def test_cards_and_comparison_have_the_figures_of_the_folders() -> None:
    command = [sys.executable, ROOT / "scripts" / "write_cards.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
