"""An evening's album in the page: photographs with one reference, in Chromium, with the quick model of the tests.

    .venv/bin/python bench/page.py --photographs 500

Says how long it took, how much memory JavaScript and all processes of the browser held, looked at every five seconds,
and how long the ZIP file took.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import skimage.data

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import Browser, Page
from pictures import file_of
from served import end, start
from small_model import write_small_model

EVERY = 5.0  # seconds
SIDE = 900  # pixels
TO_DISK = (
    "window.showSaveFilePicker = async () =>"
    " (await navigator.storage.getDirectory()).getFileHandle('saved.zip', { create: true })"
)
SAVED_SIZE = (
    "navigator.storage.getDirectory().then((folder) => folder.getFileHandle('saved.zip'))"
    ".then((handle) => handle.getFile()).then((file) => file.size)"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photographs = make_photographs(folder, arguments.photographs)
        reference = folder / "reference.png"
        reference.write_bytes(file_of(np.ascontiguousarray(skimage.data.astronaut())))
        write_small_model(folder / "models")
        served = start(folder, REFSTAR_MODELS_DIR=str(folder / "models"))
        browser = Browser(folder)
        try:
            send_album(browser.open(str(served.client.base_url)), photographs, reference)
        finally:
            browser.close()
            end(served)


def make_photographs(folder: Path, count: int) -> list[Path]:
    small = cv2.resize(
        np.ascontiguousarray(skimage.data.astronaut()), (180, 180), interpolation=cv2.INTER_AREA
    )
    ruined = np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)
    photographs = [folder / f"scan-{number:03}.jpg" for number in range(count)]
    for number, path in enumerate(photographs):
        numbered = cv2.putText(ruined.copy(), str(number), (20, SIDE - 20), 0, 2, (255, 255, 255), 3)
        path.write_bytes(file_of(np.asarray(numbered, np.uint8), ".jpg"))
    return photographs


def send_album(page: Page, photographs: list[Path], reference: Path) -> None:
    page.wait("document.querySelector('#model').length > 1")
    before = held()
    page.choose_files("#photos", *photographs)
    page.choose_files("#groups input[type=file]", reference)
    page.click("#submit")
    began, heap, most = time.monotonic(), 0.0, before
    while page.run("document.querySelector('#album-progress').checkVisibility()"):
        time.sleep(EVERY)
        heap = max(heap, page.run("performance.memory.usedJSHeapSize"))
        most = max(most, held())
        print(page.text("#album-title"), page.text("#album-left"), flush=True)
    print(f"{page.text('#album-title')}: {time.monotonic() - began:.0f} s")
    print(
        f"JavaScript: {heap / 1e6:.1f} MB at most; processes: {before / 1e6:.0f} MB before, {most / 1e6:.0f} MB at most"
    )
    page.run(TO_DISK)
    began = time.monotonic()
    page.click("#save-album")
    page.wait("!document.querySelector('#save-album').disabled", within=600)
    print(f"ZIP file: {page.run(SAVED_SIZE) / 1e6:.0f} MB in {time.monotonic() - began:.1f} s")


def held() -> int:
    """Resident memory of the browser's processes, in bytes; what they share counts for each."""
    children = psutil.Process().children(recursive=True)
    return sum(one.memory_info().rss for one in children if "chrom" in one.name())


if __name__ == "__main__":
    main()
