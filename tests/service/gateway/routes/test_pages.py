"""The two pages load nothing from elsewhere, and their policies let in exactly their own scripts and styles."""

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
import refstar_service.gateway.routes
from refstar_service.restoration.knobs import KNOBS, KnobKind

FOLDER = Path(str(files(refstar_service.gateway.routes))) / "page"
MODULES = sorted(path.name for path in FOLDER.glob("*.js"))
PARTS = [*MODULES, "style.css", "icon.svg"]
PAGES = ["/", "/docs"]


@pytest.mark.parametrize("path", [*PAGES, *(f"/page/{name}" for name in PARTS)])
async def test_a_page_brings_everything_with_it(client: httpx.AsyncClient, path: str) -> None:
    text = re.sub(r"^\s*//.*$", "", (await client.get(path)).text, flags=re.MULTILINE)
    addresses = re.findall(r"""(?:src|href|action)=["']([^"']*)""", text)
    addresses += re.findall(r'^import .* from "([^"]*)";$', text, re.MULTILINE)
    assert all(address.startswith(("/", "./", "#", "data:", "blob:")) for address in addresses)
    assert not any(address.startswith("//") for address in addresses)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert "@import" not in text
    assert not re.findall(r"\burl\(", text)


@pytest.mark.parametrize("name", PARTS)
async def test_a_part_has_its_exact_type_and_is_not_sent_again(client: httpx.AsyncClient, name: str) -> None:
    first = await client.get(f"/page/{name}")
    expected = {
        "js": "text/javascript; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "svg": "image/svg+xml",
    }
    assert first.headers["content-type"] == expected[name.rpartition(".")[2]]
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.content == (FOLDER / name).read_bytes()
    again = await client.get(f"/page/{name}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("name", ["page.py", "docs.html", "..%2fpage.py", "%2e%2e", "words.mjs", "STYLE.CSS"])
async def test_nothing_else_is_served(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/page/{name}")).status_code == 404


async def test_every_module_is_used_and_nothing_that_is_missing(client: httpx.AsyncClient) -> None:
    used, seen = {"page.js"}, set()
    while new := used - seen:
        for name in new:
            text = (await client.get(f"/page/{name}")).raise_for_status().text
            used |= set(re.findall(r'from "\./([\w.]+)"', text))
            seen.add(name)
    assert used == set(MODULES)


async def test_no_script_and_no_style_stands_in_the_page(client: httpx.AsyncClient) -> None:
    response = await client.get("/")
    policy = response.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<script[^>]*>(.*?)</script>", response.text) == [""]
    assert "<style" not in response.text
    # What the policy does not let in, the browser would refuse in silence.
    assert not re.findall(r"<[^>]+\s(?:style|on\w+)=", response.text)


async def test_the_policy_of_the_reference_names_its_script_and_style(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs")
    policy = response.headers["content-security-policy"]
    for element in ("script", "style"):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", response.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert not re.findall(r"<[^>]+\s(?:style|on\w+)=", response.text.split("<script>")[0])


@pytest.mark.parametrize("page", ["index.html", "docs.html"])
def test_every_element_that_a_script_asks_for_exists(page: str) -> None:
    html = (FOLDER / page).read_text()
    scripts = [(FOLDER / name).read_text() for name in MODULES] if page == "index.html" else [html]
    asked = {
        name
        for script in scripts
        for name in re.findall(r"""(?:byId|show|getElementById)\("([\w-]+)\"""", script)
    }
    assert asked
    assert asked <= set(re.findall(r'id="([\w-]+)"', html))


async def test_the_page_offers_every_knob_with_its_range_and_default(client: httpx.AsyncClient) -> None:
    html = (await client.get("/")).text
    for knob in KNOBS.values():
        inputs = re.findall(rf'<(?:input|select)[^>]* (?:id|name)="{knob.name}"[^>]*>', html)
        shown = [dict(re.findall(r'(\w+)="([^"]*)"', tag)) for tag in inputs]
        match knob.kind:
            case KnobKind.NUMBER | KnobKind.WHOLE:
                (only,) = shown
                numbers = [float(only[name]) for name in ("min", "max", "value")]
                assert numbers == [knob.least, knob.most, knob.default]
            case KnobKind.CHOICE if (
                len(shown) > 1
            ):  # a radio button for each; "" for what is left to the service
                assert {one["value"] for one in shown} - {""} == set(map(str, knob.choices))
            case KnobKind.BOXES:
                assert "boxes" in html  # drawn into the picture
            case _:
                assert len(shown) == 1, knob.name


def test_a_module_is_small() -> None:
    assert max(len((FOLDER / name).read_text().splitlines()) for name in MODULES) <= 350
