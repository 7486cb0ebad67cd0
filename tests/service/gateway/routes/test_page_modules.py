"""Modules of the page that need no browser, run by Node.js: words, models, the ZIP file, events, the time left."""

import asyncio
import io
import json
import re
import shutil
import zipfile
from itertools import permutations
from typing import Any

import pytest
from refstar_service.engine.catalog import Catalog
from refstar_service.engine.manifest import Ranks
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.routes.models import Model
from refstar_service.restoration.knobs import KNOBS
from refstar_service.restoration.rules import choose_model
from refstar_service.restoration.selection_picture import REFERENCE_COLORS

from ..conftest import manifest
from .test_pages import FOLDER, MODULES

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")

#: Problems that no request of the page can meet: it names no URL, no webhook and no priority.
_FOR_PROGRAMS = re.compile(
    r"webhook|url|priority|idempotency|idempotent|head-too-large|method-not|^not-found|wrong-host|cross-site|"
    r"no-selection|too-many-streams"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy that Node.js takes for modules."""
    copy = tmp_path_factory.mktemp("page")
    for name in MODULES:
        shutil.copy(FOLDER / name, copy / name)
    (copy / "package.json").write_text('{"type": "module"}')
    return str(copy)


async def node(folder: str, script: str, *options: str) -> bytes:
    assert NODE is not None
    process = await asyncio.create_subprocess_exec(
        NODE, *options, "--input-type=module", "-e", script, cwd=folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out


async def words(folder: str) -> dict[str, Any]:
    script = 'import * as words from "./words.js"; console.log(JSON.stringify(words));'
    read: dict[str, Any] = json.loads(await node(folder, script))
    return read


async def test_every_module_can_be_parsed(folder: str) -> None:
    script = """
        import { readFileSync } from "node:fs";
        import vm from "node:vm";
        for (const name of NAMES) new vm.SourceTextModule(readFileSync(name, "utf8"), { identifier: name });
    """
    await node(folder, script.replace("NAMES", json.dumps(MODULES)), "--experimental-vm-modules")


async def test_every_label_of_the_page_has_words(folder: str) -> None:
    labels = (await words(folder))["labels"]
    html = (FOLDER / "index.html").read_text()
    said = set(re.findall(r'data-say="(\w+)"', html))
    assert said
    assert said <= labels.keys()
    # And no words stand in the page itself, but the name and what is said where nothing runs.
    body = re.sub(r"<(noscript|h1|output)[^>]*>.*?</\1>", "", html[html.index("<body>") :])
    assert re.sub(r"<[^>]*>|\s", "", body) == ""


async def test_every_problem_that_the_page_can_meet_has_words(folder: str) -> None:
    problems = (await words(folder))["problems"]
    met = {problem.slug for problem in ProblemType if not _FOR_PROGRAMS.search(problem.slug)}
    assert met <= problems.keys()
    assert problems.keys() - {""} <= {problem.slug for problem in ProblemType}
    assert all(len(said) == 2 and all(said) for said in problems.values())


async def test_no_name_of_the_api_stands_in_the_words() -> None:
    text = (FOLDER / "words.js").read_text()
    texts = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
    names = [name for name in KNOBS if "_" in name]
    assert [t for t in texts if re.search(r"`|GET /|POST /|faces=|REFSTAR_|_", t)] == []
    assert [t for t in texts if any(name in t for name in names)] == []


async def test_the_legend_has_the_colors_of_the_selection_picture(folder: str) -> None:
    (listed,) = re.findall(r"COLORS = (\[.*?\])", (FOLDER / "report.js").read_text())
    assert json.loads(listed) == ["#{:02x}{:02x}{:02x}".format(*color) for color in REFERENCE_COLORS]


@pytest.mark.parametrize("references", [0, 2])
async def test_the_page_knows_which_model_is_the_default(folder: str, references: int) -> None:
    """Only that model's knobs are sent, so the page must choose as the service does."""
    fitted = [
        manifest("both", ranks=Ranks(1, 2)),
        manifest("lone", 0, ranks=Ranks(None, 1), inputs=("low_quality",)),
        manifest("greedy", 2, needs_references=True, ranks=Ranks()),
        manifest("anonymous", ranks=Ranks()),
    ]
    sets = list(permutations(fitted, 3))
    listed = json.dumps([[Model.of(one).model_dump() for one in installed] for installed in sets])
    script = f"""
        import {{ chooseModel }} from "./model_choice.js";
        for (const models of {listed}) console.log(chooseModel(models, "", {references}).name);
    """
    shown = (await node(folder, script)).decode()
    chosen = [choose_model(Catalog.of(installed), None, references) for installed in sets]
    assert shown.split() == [model.name for model in chosen]


@pytest.mark.parametrize("most", ["undefined", "100"])  # 100: as if these few bytes were more than 4 GB
async def test_the_zip_file_is_one(folder: str, most: str) -> None:
    script = f"""
        import {{ Zip }} from "./zip.js";
        const pieces = [];
        const zip = new Zip((piece) => pieces.push(piece), {most});
        const date = new Date(2026, 4, 3, 12, 30, 8);
        const files = [["Größe.txt", "first"], ["a.txt", "x".repeat(70000)], ["A.txt", "third"], ["empty", ""]];
        for (const [name, text] of files) {{
          await zip.add(name, new Blob([text]), date);
        }}
        await zip.end();
        process.stdout.write(new Uint8Array(await new Blob(pieces).arrayBuffer()));
    """
    with zipfile.ZipFile(io.BytesIO(await node(folder, script))) as made:
        assert made.testzip() is None
        assert made.namelist() == ["Größe.txt", "a.txt", "A (2).txt", "empty"]
        assert [made.read(name)[:5] for name in made.namelist()] == [b"first", b"xxxxx", b"third", b""]
        assert made.getinfo("a.txt").date_time == (2026, 5, 3, 12, 30, 8)
        assert made.getinfo("a.txt").compress_type == zipfile.ZIP_STORED


async def test_events_are_read_wherever_the_network_cuts_them(folder: str) -> None:
    text = "retry: 1000\nid: 1\ndata: {}\n\n:\n\r\nevent: deleted\r\ndata: a\r\ndata: b\r\n\r\ndata: ü\n\n"
    script = f"""
        globalThis.sessionStorage = {{ getItem: () => "" }};
        const {{ parseEvents }} = await import("./events.js");
        const bytes = new TextEncoder().encode({json.dumps(text)});
        for (let size = 1; size < 12; size += 1) {{
          const pieces = [];
          for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
          const events = [];
          for await (const event of parseEvents(new Blob(pieces).stream())) events.push(event);
          const body = new ReadableStream({{ start(c) {{ pieces.forEach((p) => c.enqueue(p)); c.close(); }} }});
          const cut = [];
          for await (const event of parseEvents(body)) cut.push(event);
          console.log(JSON.stringify([events, cut]));
        }}
    """
    expected = [
        {"name": "message", "data": "{}"},
        {"name": "deleted", "data": "a\nb"},
        {"name": "message", "data": "ü"},
    ]
    for line in (await node(folder, script)).decode().splitlines():
        assert json.loads(line) == [expected, expected]


async def test_the_time_left_follows_the_pace(folder: str) -> None:
    script = """
        import { Pace } from "./pace.js";
        const pace = new Pace();
        const said = [];
        for (const [remaining, now] of [[10, 0], [9, 2], [8, 4], [8, 5], [8, 7], [12, 8]]) {
          pace.note(remaining, now);
          said.push(pace.left(now));
        }
        console.log(JSON.stringify(said));
    """
    # Two seconds each: 8 are left after 4 s. More than before begins a new count.
    assert json.loads(await node(folder, script)) == [None, None, 16, 15, 13, None]


async def test_an_order_with_other_choices_knows_them(folder: str) -> None:
    """What a task reads of its order is what its fields ask for: places of faces in the result depend on it."""
    script = """
        globalThis.sessionStorage = { getItem: () => null };
        const { Order } = await import("./order.js");
        const order = new Order({ fields: [["upscale", "4"], ["faces", "all"]], ofPeople: [], groups: [], picked: [],
          keep: false, mode: "all", upscale: 4, count: 1 });
        const told = ({ fields, mode, upscale }) => [Object.fromEntries(fields), mode, upscale];
        console.log(JSON.stringify([order.again({ upscale: "1" }), order.again({ faces: "largest" })].map(told)));
    """
    smaller, largest = json.loads(await node(folder, script))
    assert smaller == [{"upscale": "1", "faces": "all"}, "all", 1]
    assert largest == [{"upscale": "4", "faces": "largest"}, "largest", 4]


async def test_the_report_says_which_reference_probably_shows_somebody_else(folder: str) -> None:
    script = """
        const element = () => {
          const one = { children: [], style: {}, classList: { toggle() {} }, addEventListener() {}, set onclick(_) {} };
          one.append = one.replaceChildren = (...more) => { one.children = more; };
          return one;
        };
        const page = {};
        globalThis.document = { createElement: element, getElementById: (id) => (page[id] ||= element()) };
        globalThis.sessionStorage = { getItem: () => null };
        const { showFaces, showReferences } = await import("./report.js");
        const said = (one) => (one.children ? one.children.map(said).join("") + (one.textContent || "") : String(one));
        const face = (more) => ({ box: [0, 0, 9, 9], score: 1, points: [], person: null, ...more });
        const seen = (index) => ({ index, name: index + ".jpg", used: true, size: null, reason: null, person: null });
        const tell = (faces) => {
          const job = { people: [], faces, references: [seen(1), seen(2)] };
          const task = { mode: "aligned", people: {}, references: [], job };
          showFaces(task, false, null);
          showReferences(task);
          return [page["faces-list"], page["seen-list"]].map(said);
        };
        const restored = { action: "restored", reason: null, selected: [0.4, 0.0] };
        const refused = { action: "failed", reason: "reference-stranger", selected: [0, 0] };
        console.log(JSON.stringify([
          tell([face({ ...restored, same_person: [0.97, 0.04] })]),
          tell([face({ ...refused, same_person: [0.97, 0.04] })]),
          tell([face({ ...restored, same_person: [null, null] })]),
          tell([face(restored)]),
        ]));
    """
    judged, refused, silent, older = json.loads(await node(folder, script))
    assert (
        "taken from 1.jpg. Hardly anything was taken from 2.jpg (probably not the same person)." in judged[0]
    )
    assert "2.jpg Used. Probably not the same person. If it is, choose" in judged[1]
    assert "2.jpg is probably not the same person. Leave it out" in refused[0]
    assert "1.jpg is" not in refused[0]
    assert silent == older
    assert "probably" not in "".join(silent).lower()


async def test_faces_that_are_too_far_apart_for_a_small_picture_leave_the_largest_whole(folder: str) -> None:
    script = """
        import { gather } from "./picture.js";
        const box = (x, y, width, height) => ({ x, y, width, height });
        const near = box(0, 3, 4, 9), small = box(5, 1, 2, 2), far = box(40, 0, 3, 3);
        console.log(JSON.stringify([[], [small], [small, near], [far, small, near]].map((boxes) => gather(boxes, 20))));
    """
    none, one, two, three = json.loads(await node(folder, script))
    assert none is None
    assert one == {"x": 5, "y": 1, "width": 2, "height": 2}
    assert two == three == {"x": 0, "y": 1, "width": 7, "height": 11}
