"""Make the screenshots of docs/page.md: the page in Chromium, on a service with the shipped model.

    .venv/bin/python docs/page/make.py --people FOLDER

FOLDER: as of docs/faces/make.py, official photographs of the US government, which are in the public domain. They are
made bad here; the astronaut comes with scikit-image (NASA, public domain).
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from browser import Browser, Page  # noqa: E402
from served import end, start  # noqa: E402

Pixels = NDArray[np.uint8]
QUALITY = 70


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(arguments.people, folder)
        served, browser = start(folder), Browser(folder)
        try:
            take_all(browser.open(str(served.client.base_url), height=960), folder)
        finally:
            browser.close()
            end(served)


def make_pictures(people: Path, folder: Path) -> None:
    """Photographs as an album has them, each with a name that says what it is."""
    obama, speaking, standing, biden = (
        read(people / f"{n}.jpg") for n in ("obama", "obama2", "obama3", "biden")
    )
    collins = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    pair = np.hstack([fitted(speaking[:744], 520), fitted(collins[:330, 90:400], 520)])
    album = {
        "oval-office.jpg": bad(fitted(standing, 700), 5.0),
        "together.jpg": bad(pair, 5.0),
        "portrait.jpg": fitted(obama, 700),
        "shuttle.jpg": bad(collins, 3.0),
        "sideways.jpg": np.ascontiguousarray(np.rot90(bad(fitted(biden, 700), 4.0), -1)),
        "rocket.jpg": bad(np.ascontiguousarray(skimage.data.rocket()[..., ::-1]), 2.0),
        "barack-1.jpg": obama,
        "barack-2.jpg": speaking,
        "eileen.jpg": np.ascontiguousarray(collins[:, ::-1]),
    }
    for name, pixels in album.items():
        cv2.imwrite(str(folder / name), pixels)


def take_all(page: Page, folder: Path) -> None:
    page.wait("document.querySelector('#model').length > 1")
    names = ("oval-office", "together", "portrait", "shuttle", "sideways", "rocket")
    page.choose_files("#photos", *(folder / f"{name}.jpg" for name in names))
    page.choose_files("#groups input[type=file]", folder / "barack-1.jpg", folder / "barack-2.jpg")
    page.type("#groups input[type=text]", "Barack")
    page.click("#another-person")
    page.choose_files(".group:nth-child(2) input[type=file]", folder / "eileen.jpg")
    page.type(".group:nth-child(2) input[type=text]", "Eileen")
    page.wait("document.querySelectorAll('#tray img').length == 6")
    take(page, "choosing", top="header")
    page.click("#submit")
    page.wait(
        "document.querySelectorAll('#album-cards .done').length >= 2 && !/Send/.test(document.body.innerText)",
        120,
    )
    take(page, "album", top="header")
    page.wait("document.querySelector('#album-title').innerText.endsWith('done')", 120)
    for number, name in ((2, "several-people"), (3, "kept"), (6, "failed")):
        page.click(f"#album-cards li:nth-child({number}) button")
        page.wait(
            "['#legend li', '.state.kept', '#problem'].some((one) => document.querySelector(one)?.checkVisibility())"
        )
        take(page, name, top="#faces-report" if name == "several-people" else "#detail")
        page.click("#back")
    page.resize(390, 844, dark=True)
    page.click("#album-cards li:nth-child(1) button")
    page.wait("document.querySelector('#report').checkVisibility()")
    take(page, "phone", top="#detail")
    page.resize(1280, 960)
    page.click("#to-people")
    page.type("#person-name", "Barack")
    page.choose_files("#person-files", folder / "barack-1.jpg", folder / "barack-2.jpg")
    page.click("#store-person")
    page.wait("document.querySelectorAll('#people img').length == 2")
    page.resize(1280, 520)
    take(page, "people", top="header")


def take(page: Page, name: str, *, top: str) -> None:
    """The window from this element on."""
    page.run(f"(document.activeElement.blur(), document.querySelector({top!r}).scrollIntoView())")
    time.sleep(0.5)  # until what was asked for last is drawn
    page.screenshot(HERE / f"{name}.webp", whole=False, kind="webp", quality=QUALITY)
    print(name, (HERE / f"{name}.webp").stat().st_size)


def read(path: Path) -> Pixels:
    pixels = cv2.imread(str(path))
    assert pixels is not None, path
    return np.asarray(pixels, np.uint8)


def fitted(pixels: Pixels, height: int) -> Pixels:
    width = pixels.shape[1] * height // pixels.shape[0]
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def bad(pixels: Pixels, factor: float) -> Pixels:
    """Blurred, made small, noised and enlarged again."""
    height, width = pixels.shape[:2]
    small = cv2.resize(cv2.GaussianBlur(pixels, (0, 0), factor / 2), None, fx=1 / factor, fy=1 / factor)
    small = np.clip(small + np.random.default_rng(1).normal(0, 5, small.shape), 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


if __name__ == "__main__":
    main()
