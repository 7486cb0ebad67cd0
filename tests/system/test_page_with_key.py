"""The page on a service that requires an API key: an album waits for the key, then goes through."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from browser import CHROMIUM, Browser
from pictures import file_of
from refstar_service.app.cli import run
from served import end, start
from small_model import write_small_model

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)"
)


def test_an_album_waits_for_the_key_and_then_goes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_small_model(tmp_path / "models")
    photo = tmp_path / "photo.png"
    photo.write_bytes(file_of(np.ascontiguousarray(skimage.data.astronaut())))
    monkeypatch.setenv("REFSTAR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("REFSTAR_ACCESS", "file")
    assert run(["keys", "add", "album"]) == 0
    (key,) = (word for word in capsys.readouterr().out.split() if word.startswith("refstar_"))
    served = start(tmp_path, REFSTAR_ACCESS="file", REFSTAR_MODELS_DIR=str(tmp_path / "models"))
    browser = Browser(tmp_path)
    try:
        page = browser.open(str(served.client.base_url))
        page.wait("document.querySelector('#key-form').checkVisibility()")
        page.choose_files("#photos", photo, photo)
        page.wait("document.querySelector('#photo-name').innerText.includes('×')")
        page.click("#submit")
        page.wait("document.querySelector('#halted').checkVisibility()")
        assert "requires a key" in page.text("#halted")
        page.type("#key", "refstar_of_somebody_else")
        page.press("Enter")
        page.wait("document.querySelector('#halted').innerText.includes('This key is not valid')")
        page.type("#key", key)
        page.press("Enter")
        page.wait("document.querySelector('#album-title').innerText == 'Both photographs are done'")
        assert not page.shows("#key-form")
        assert page.run("document.querySelector('#model').length") == 3
        assert key not in page.run("JSON.stringify({ ...localStorage })")
        assert page.errors() == []
    finally:
        browser.close()
        end(served)
