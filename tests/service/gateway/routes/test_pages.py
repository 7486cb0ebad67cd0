"""The two pages load nothing from elsewhere, and their policy lets in exactly their own script and style."""

import asyncio
import base64
import hashlib
import json
import re
import shutil
from itertools import permutations
from pathlib import Path

import httpx
import pytest
from refstar_service.engine.catalog import Catalog
from refstar_service.engine.manifest import Ranks
from refstar_service.gateway.routes.resources import Model
from refstar_service.restoration.knobs import KNOBS, KnobKind
from refstar_service.restoration.rules import choose_model

from ..conftest import manifest

PAGES = ["/", "/docs"]


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_brings_everything_with_it(client: httpx.AsyncClient, path: str) -> None:
    html = (await client.get(path)).text
    addresses = re.findall(r"""(?:src|href|action)=["']([^"']*)""", html)
    assert addresses
    assert all(address.startswith(("/", "data:")) and not address.startswith("//") for address in addresses)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", html)
    assert "@import" not in html


@pytest.mark.parametrize("path", PAGES)
async def test_the_policy_names_the_script_and_style_of_the_page(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.get(path)
    policy = response.headers["content-security-policy"]
    for element in ("script", "style"):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", response.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    # What a hash cannot let in, the browser would refuse in silence.
    assert not re.findall(r"<[^>]+\s(?:style|on\w+)=", response.text.split("<script>")[0])


@pytest.mark.parametrize("path", PAGES)
async def test_every_element_that_the_script_asks_for_exists(client: httpx.AsyncClient, path: str) -> None:
    html = (await client.get(path)).text
    asked = set(re.findall(r"""(?:byId|show|getElementById|acceptDrops)\("([\w-]+)\"""", html))
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


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("path", PAGES)
async def test_the_script_is_valid(client: httpx.AsyncClient, path: str, tmp_path: Path) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", (await client.get(path)).text, re.DOTALL)
    file = tmp_path / "page.js"
    file.write_text(script)
    process = await asyncio.create_subprocess_exec("node", "--check", str(file))
    assert await process.wait() == 0


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("references", [0, 2])
async def test_the_page_knows_which_model_is_the_default(client: httpx.AsyncClient, references: int) -> None:
    """Only that model's knobs are sent, so the page must choose as the service does."""
    fitted = [
        manifest("both", ranks=Ranks(1, 2)),
        manifest("lone", 0, ranks=Ranks(None, 1), inputs=("low_quality",)),
        manifest("greedy", 2, needs_references=True, ranks=Ranks()),
        manifest("anonymous", ranks=Ranks()),
    ]
    html = (await client.get("/")).text
    (full_name,) = re.findall(r"^const fullName.*$", html, re.MULTILINE)
    (function,) = re.findall(r"^function usedModel.*?^}", html, re.DOTALL | re.MULTILINE)
    sets = list(permutations(fitted, 3))
    listed = json.dumps([[Model.of(one).model_dump() for one in installed] for installed in sets])
    script = f"""
        let models;
        const chosen = {{ references: Array({references}) }}, byId = () => ({{ value: "" }});
        {full_name}
        {function}
        for (models of {listed}) console.log(usedModel().name);
    """
    process = await asyncio.create_subprocess_exec("node", "-e", script, stdout=asyncio.subprocess.PIPE)
    shown, _ = await process.communicate()
    chosen = [choose_model(Catalog.of(installed), None, references) for installed in sets]
    assert shown.decode().split() == [model.name for model in chosen]
