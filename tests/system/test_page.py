"""The page in Chromium, on a real service: what a user does and what the user is told."""

import base64
import io
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from browser import CHROMIUM, Browser, Page
from pictures import file_of, pixels_of
from served import Served, end, start
from small_model import write_small_model

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)"
)

QUEUE_LIMIT = 2  # fewer than the page sends at once: so it is refused now and then, and has to come back

REVIEWED_SIDE = 256  # pixels: crops below that are not reviewed, so no face would be kept


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("page")
    write_small_model(folder / "models", side=REVIEWED_SIDE)
    served = start(folder, REFSTAR_MODELS_DIR=str(folder / "models"), REFSTAR_QUEUE_LIMIT=str(QUEUE_LIMIT))
    yield served
    assert end(served) == 0


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def page(served: Served, browser: Browser) -> Iterator[Page]:
    """A tab that has loaded; at the end, it complained of nothing and asked nobody else."""
    address = str(served.client.base_url)
    page = browser.open(address)
    page.wait("document.querySelector('#model').length > 1")
    yield page
    assert page.errors() == []
    assert {url for url in page.requests() if not url.startswith((f"{address}/", "blob:", "about:"))} <= {
        address
    }
    page.close()
    for person in served.client.get("/v1/people").json()["people"]:
        served.client.delete(person["links"]["self"])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NASA's portrait of Eileen Collins (public domain): degraded, degraded and lying on its side, as it is, mirrored;
    and a picture without a face."""
    folder = tmp_path_factory.mktemp("pictures")
    truth = np.ascontiguousarray(skimage.data.astronaut())
    small = cv2.resize(cv2.GaussianBlur(truth, (0, 0), 2.0), (200, 200), interpolation=cv2.INTER_AREA)
    ruined = np.asarray(cv2.resize(small, (512, 512), interpolation=cv2.INTER_CUBIC), np.uint8)
    rest = np.asarray(np.linspace(60, 190, 200)[None, :, None] * np.ones((160, 1, 3)), np.uint8)
    for name, pixels in {
        "ruined": ruined,
        "side": np.ascontiguousarray(np.rot90(ruined)),
        "sharp": truth,
        "mirrored": np.ascontiguousarray(truth[:, ::-1]),
        "empty": rest,
    }.items():
        (folder / f"{name}.png").write_bytes(file_of(pixels))
    (folder / "broken.jpg").write_bytes(file_of(ruined, ".jpg")[:3000])
    return folder


def restore(page: Page, *files: Path) -> None:
    page.choose_files("#photos", *files)
    # Everything has its place once the photograph was looked at.
    page.wait(
        "document.querySelector('#photo-name').innerText.includes('×') && document.querySelector('#preview').complete"
        " || document.querySelector('#unseen').checkVisibility()"
    )
    page.click("#submit")


def await_outcome(page: Page) -> str:
    page.wait("['#report', '#problem'].some((id) => document.querySelector(id).checkVisibility())")
    return page.text("#detail")


def test_a_photograph_is_restored_compared_and_downloaded(
    page: Page, served: Served, pictures: Path, tmp_path: Path
) -> None:
    page.choose_files("#groups input[type=file]", pictures / "mirrored.png")
    restore(page, pictures / "ruined.png")
    said = await_outcome(page)
    assert "Before and after" in said
    page.wait("document.querySelector('#legend').children.length == 1")
    # A sentence, with the reference's picture in it, and none of the words that programs use.
    assert re.search(r"\d+ % of it was taken from mirrored\.png\.", page.text("#faces-list"))
    assert page.run("document.querySelector('#faces-list .inline img').naturalWidth") == 96
    assert not re.search(r"`|_|null|undefined|NaN", said)
    # Moved by key, as by hand.
    before = float(page.run("document.querySelector('#cut').value"))
    page.run("document.querySelector('#cut').focus()")
    page.press("ArrowRight")
    assert float(page.run("document.querySelector('#cut').value")) == before + 1
    page.click("#faces-list button")  # closer
    assert page.run("document.querySelector('#compare').classList.contains('closer')")
    middles = page.run(
        "['#compare .cut', '#found .mark', '#compare']"
        ".map((one) => document.querySelector(one).getBoundingClientRect())"
        ".map(({ x, width, height }) => [x + width / 2, width, height])"
    )
    (line, _, _), (face, width, height), (_, *view) = middles
    assert line == pytest.approx(face, abs=2)
    assert max(width / view[0], height / view[1]) == pytest.approx(0.7, abs=0.03)
    page.save_downloads(tmp_path)
    page.click("#download")
    deadline = time.monotonic() + 10
    while not (saved := list(tmp_path.glob("*.png"))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (job,) = served.client.get("/v1/restorations?limit=1").json()["restorations"]
    assert saved[0].name == "ruined-restored.png"
    assert saved[0].read_bytes() == served.client.get(job["links"]["image"]).content


def test_an_album_goes_through_a_busy_service_and_is_saved_as_one_file(
    page: Page, served: Served, pictures: Path, tmp_path: Path
) -> None:
    names = ("ruined", "empty", "sharp", "ruined", "mirrored", "side")
    restore(page, *(pictures / f"{name}.png" for name in names))
    title = "document.querySelector('#album-title').innerText"
    assert page.wait(f"{title}.endsWith('done') && {title}") == "5 of 6 photographs are done"
    assert 429 in page.statuses(), f"{QUEUE_LIMIT} places were enough"
    jobs = {
        job["id"]: job
        for job in served.client.get("/v1/restorations?limit=20").json()["restorations"][: len(names)]
    }
    results = {
        served.client.get(job["links"]["image"]).content
        for job in jobs.values()
        if job["status"] == "succeeded"
    }
    # Once where the page may write to the disk (its private one, here), once where it may not.
    page.run("window.showSaveFilePicker = async () => (await navigator.storage.getDirectory())"
             ".getFileHandle('saved.zip', { create: true })")  # fmt: skip
    page.click("#save-album")
    page.wait("!document.querySelector('#save-album').disabled")
    written = page.run(
        "navigator.storage.getDirectory().then((folder) => folder.getFileHandle('saved.zip'))"
        ".then((handle) => handle.getFile()).then((file) => file.arrayBuffer())"
        ".then((bytes) => [...new Uint8Array(bytes)].map((byte) => String.fromCharCode(byte)).join(''))"
    ).encode("latin-1")
    page.run("delete window.showSaveFilePicker, window.showSaveFilePicker = undefined")
    page.save_downloads(tmp_path)
    page.click("#save-album")
    deadline = time.monotonic() + 10
    while not (saved := list(tmp_path.glob("*.zip"))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert saved[0].read_bytes() == written
    with zipfile.ZipFile(io.BytesIO(written)) as album:
        assert album.testzip() is None
        assert sorted(album.namelist()) == [
            "mirrored-restored.png", "ruined-restored (2).png", "ruined-restored.png",
            "sharp-restored.png", "side-restored.png",
        ]  # fmt: skip
        assert {album.read(name) for name in album.namelist()} == results


def test_each_face_is_given_to_its_person_and_nothing_of_them_stays(
    page: Page, served: Served, pictures: Path
) -> None:
    page.choose_files(".group:nth-child(1) input[type=file]", pictures / "mirrored.png")
    page.type(".group:nth-child(1) input[type=text]", "Eileen")
    page.click("#another-person")
    page.choose_files(".group:nth-child(2) input[type=file]", pictures / "sharp.png")
    restore(page, pictures / "ruined.png")
    await_outcome(page)
    assert re.search(r"Taken for (Eileen|Person 2), as far as the model can tell\.", page.text("#faces-list"))
    page.wait("document.querySelector('#legend').innerText.includes('Eileen')")
    page.wait("localStorage.getItem('refstar-guests') == '[]'")
    assert served.client.get("/v1/people").json()["people"] == []


def test_people_are_stored_picked_changed_and_deleted(page: Page, served: Served, pictures: Path) -> None:
    def people() -> list[tuple[str, int]]:
        listed = served.client.get("/v1/people").json()["people"]
        return [(person["name"], len(person["references"])) for person in listed]

    def press(text: str) -> None:
        page.click("#people button, #people label.button", text)

    page.click("#to-people")
    page.type("#person-name", "Eileen")
    page.choose_files("#person-files", pictures / "mirrored.png")
    page.click("#store-person")
    page.wait("document.querySelector('#people img')?.naturalWidth == 96")
    assert people() == [("Eileen", 1)]
    press("Rename")
    page.type("#people input[type=text]", "Colonel Collins")
    page.press("Enter")
    page.wait("document.querySelector('#people strong').innerText == 'Colonel Collins'")
    page.choose_files("#people input[type=file]", pictures / "sharp.png")
    page.wait("document.querySelectorAll('#people img').length == 2")
    assert people() == [("Colonel Collins", 2)]
    page.click("#people .remove")
    page.wait("document.querySelectorAll('#people .thumbs li').length == 1")
    assert people() == [("Colonel Collins", 1)]
    press("Use for a photograph")
    restore(page, pictures / "ruined.png")
    await_outcome(page)
    assert re.search(r"taken from sharp\.png", page.text("#faces-list"))
    page.click("#to-people")
    press("Delete")
    press("Delete everything")
    page.wait("document.querySelector('#nobody').checkVisibility()")
    assert people() == []


def test_a_person_who_is_refused_names_the_photographs_that_are_to_blame(
    page: Page, served: Served, pictures: Path
) -> None:
    page.click("#to-people")
    page.choose_files("#person-files", pictures / "sharp.png", pictures / "empty.png")
    page.click("#store-person")
    page.wait("document.querySelector('#person-problem').checkVisibility()")
    assert page.text("#person-problem-title") == "empty.png: A reference shows no face"
    assert served.client.get("/v1/people").json()["people"] == []
    page.click("#person-thumbs li:nth-child(2) .remove")
    page.click("#store-person")
    page.wait("document.querySelector('#people img')?.naturalWidth == 96")
    page.choose_files("#people input[type=file]", pictures / "empty.png")
    page.wait("document.querySelector('#people p.failed') != null")
    assert page.text("#people p.failed").startswith(
        "The last photographs were not added: A reference shows no"
    )


def test_a_question_about_a_person_outlives_a_new_reading(page: Page, served: Served, pictures: Path) -> None:
    page.click("#to-people")
    page.type("#person-name", "Eileen")
    page.choose_files("#person-files", pictures / "sharp.png")
    page.click("#store-person")
    page.wait("document.querySelector('#people img')?.naturalWidth == 96")
    page.click("#people button", "Delete")
    readings = (
        "performance.getEntriesByType('resource').filter((one) => one.name.includes('/v1/people?')).length"
    )
    before = page.run(readings)
    page.run("location.hash = ''; setTimeout(() => { location.hash = '#people'; }, 50)")
    page.wait(f"{readings} > {before}")
    page.run("new Promise((resolve) => setTimeout(resolve, 300))")  # whatever is drawn after it
    assert page.run("document.querySelectorAll('#people li > strong').length") == 1
    page.click("#people button", "Delete everything")
    page.wait("document.querySelector('#nobody').checkVisibility()")
    assert served.client.get("/v1/people").json()["people"] == []


def test_what_was_made_is_there_after_a_reload_until_it_is_removed(
    page: Page, served: Served, pictures: Path
) -> None:
    restore(page, pictures / "ruined.png", pictures / "empty.png")
    page.wait("document.querySelector('#album-title').innerText.endsWith('done')")
    (job,) = (
        j
        for j in served.client.get("/v1/restorations").json()["restorations"][:2]
        if j["status"] == "succeeded"
    )
    result = pixels_of(served.client.get(job["links"]["image"]).content)
    page.reload()
    page.wait("document.querySelectorAll('#earlier-cards li').length == 2")
    page.wait("document.querySelector('#earlier-cards').innerText.includes('kept until')")
    page.click("#earlier-cards .done button")
    assert "ruined.png: Before and after" in await_outcome(page)
    sizes = page.run("['before', 'after'].map((id) => document.getElementById(id).naturalWidth)")
    assert sizes == [result.shape[1]] * 2
    page.click("#back")
    page.click("#remove-earlier")
    page.wait("!document.querySelector('#earlier').checkVisibility()")
    assert served.client.get(job["links"]["self"]).status_code == 404
    page.reload()
    page.wait("document.querySelector('#model').length > 1")
    assert not page.shows("#earlier")


def test_small_pictures_of_results_and_references_show_the_face(
    page: Page, pictures: Path, tmp_path: Path
) -> None:
    """Of a wide picture with somebody at its right edge: the middle of it is green."""
    wide = np.full((512, 1700, 3), (0, 160, 0), np.uint8)
    wide[:, -512:] = pixels_of((pictures / "ruined.png").read_bytes())
    (tmp_path / "wide.png").write_bytes(file_of(wide))

    def measure_green(selector: str) -> float:
        """The share of a picture on the page that has no face in it."""
        page.wait(f"document.querySelector({selector!r})?.naturalWidth")
        address = page.run(
            f"(() => {{ const image = document.querySelector({selector!r}), canvas = document.createElement('canvas');"
            " Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });"
            " canvas.getContext('2d').drawImage(image, 0, 0); return canvas.toDataURL(); })()"
        )
        pixels = pixels_of(base64.b64decode(address.partition(",")[2])).astype(int)
        assert pixels.shape[0] == pixels.shape[1]
        return float((pixels[..., 1] - pixels[..., 0] > 100).mean())

    page.choose_files("#groups input[type=file]", tmp_path / "wide.png")
    for size in ("1", "2"):
        page.click(f"label:has([name=upscale][value='{size}'])")
        restore(page, tmp_path / "wide.png")
        assert "Before and after" in await_outcome(page)
        assert measure_green("#album-cards li:last-child img") < 0.2
        assert measure_green("#seen-list img") < 0.2
    page.reload()
    assert measure_green("#earlier-cards .done img") < 0.2


def test_a_sharp_face_is_left_alone_and_restored_anyway_if_asked(page: Page, pictures: Path) -> None:
    restore(page, pictures / "sharp.png")
    assert "It is sharp already" in await_outcome(page)
    page.click("#faces-list button", "Restore it anyway")
    page.wait("document.querySelector('#faces-list .state.restored') != null")
    assert "Without references" in page.text("#faces-list")


def test_a_photograph_on_its_side_is_turned(page: Page, pictures: Path) -> None:
    restore(page, pictures / "side.png")
    assert "seems to lie on its side" in await_outcome(page)
    page.click("#upright")
    page.wait(
        "document.querySelector('#report').checkVisibility() && !document.querySelector('#stance').checkVisibility()"
    )
    (left, right) = page.run(
        "(async () => { const { numberFaces } = await import('/page/report.js');"
        " const task = (await import('/page/detail.js')).shownTask();"
        " return numberFaces(task.job.faces)[0].face.points.slice(0, 2); })()"
    )
    assert right[0] - left[0] > 5 * abs(right[1] - left[1])  # the eyes are level now


def test_sending_tells_how_far_it_is_and_can_be_canceled(page: Page, pictures: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8)
    (tmp_path / "noise.png").write_bytes(file_of(noise))  # half a megabyte
    page.slow_down(upload=80_000)
    restore(page, tmp_path / "noise.png")
    share = "Number(/Sending, (\\d+) %/.exec(document.querySelector('#phase').innerText)?.[1])"
    assert 0 < page.wait(f"{share} > 0 && {share}") < 100
    page.wait("/Sending, \\d+ %/.test(document.querySelector('#live').innerText)")
    page.click("#cancel")
    assert "It was canceled" in await_outcome(page)
    page.slow_down(upload=0)


def test_a_refusal_says_what_to_do_in_plain_words(page: Page, pictures: Path) -> None:
    restore(page, pictures / "broken.jpg")
    said = await_outcome(page)
    assert "The file is incomplete" in said
    assert "Copy it again" in said
    assert not re.search(r"`|REFSTAR_|/problems/", said)
    restore(page, pictures / "empty.png")
    page.wait("document.querySelector('#problem-title').innerText == 'No face was found'")
    page.click("#problem-tools button", "Mark the face")
    page.wait("document.querySelectorAll('#marks .mark').length == 1")


def test_what_is_wrong_with_a_reference_is_mended_for_the_whole_album(
    page: Page, served: Served, pictures: Path, tmp_path: Path
) -> None:
    her = skimage.data.astronaut()
    (tmp_path / "twice.png").write_bytes(file_of(np.ascontiguousarray(np.hstack([her, her[:, ::-1]]))))
    page.choose_files("#groups input[type=file]", tmp_path / "twice.png")
    restore(page, pictures / "ruined.png", pictures / "side.png", pictures / "mirrored.png")
    page.wait("document.querySelector('#album-title').innerText == '0 of 3 photographs are done'")
    page.click("#album-cards li:nth-child(2) button")
    assert "A reference shows several faces" in await_outcome(page)
    page.click("#problem-tools button", "Use the largest face of each reference")
    page.wait("document.querySelector('#album-title').innerText == 'All 3 photographs are done'")
    page.wait("localStorage.getItem('refstar-guests') == '[]'")
    assert served.client.get("/v1/people").json()["people"] == []


def test_the_keyboard_alone_is_enough(page: Page, pictures: Path) -> None:
    page.choose_files("#photos", pictures / "ruined.png")
    page.wait("document.querySelector('#turn').checkVisibility()")
    page.run("document.querySelector('#to-people').focus()")
    passed = []
    for _ in range(40):
        page.press("Tab")
        passed.append(page.run("document.activeElement.id || document.activeElement.name"))
        if passed[-1] == "submit":
            break
    assert {"photos", "turn", "remove-photo", "faces", "upscale", "submit"} <= set(passed)
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("Enter")
    await_outcome(page)
    assert page.run("document.activeElement.id") == "detail-title"
