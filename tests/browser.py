"""Chromium as a user has it, steered through its DevTools protocol over a pipe: no driver, no port, no package.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
PATIENCE = 30.0  # seconds; a machine that trains a network at the same time is slow
_OPTIONS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--password-store=basic",
)


_BECOME = """
import fcntl, os, sys
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 64) for number in sys.argv[1:3]]
for old, new in zip(high, (3, 4)):
    os.dup2(old, new)
os.execv(sys.argv[3], sys.argv[3:])
"""


class PageError(AssertionError):
    """What a page said when it should not have."""


class Browser:
    """One process with a profile of its own in ``folder``."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        self._folder = folder
        read, self._out = os.pipe()
        self._in, write = os.pipe()
        options = [*_OPTIONS, f"--user-data-dir={folder / 'profile'}"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # it refuses to run as root otherwise
        # Chromium reads commands from 3 and writes to 4: whoever becomes it puts them there.
        become = [sys.executable, "-c", _BECOME, str(read), str(write)]
        command = [*become, CHROMIUM, *options, "about:blank"]
        with (folder / "chromium.log").open("w") as log:
            self._process = subprocess.Popen(
                command, pass_fds=(read, write), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        os.close(read)
        os.close(write)
        self._rest = b""
        self._number = 0
        self._events: list[dict[str, Any]] = []

    def open(self, url: str, width: int = 1280, height: int = 900, *, dark: bool = False) -> "Page":
        """A new tab, with a storage of its own."""
        context = self.ask("Target.createBrowserContext", disposeOnDetach=True)["browserContextId"]
        target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, context)
        page.resize(width, height, dark=dark)
        page.go(url)
        return page

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._read(deadline)
            if answer is None:
                raise TimeoutError(f"{method} was not answered within {PATIENCE} s")
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise PageError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def events(self, session: str, method: str) -> list[dict[str, Any]]:
        """What has happened in this tab, of one kind."""
        return [
            one["params"]
            for one in self._events
            if one.get("sessionId") == session and one["method"] == method
        ]

    def _read(self, deadline: float) -> dict[str, Any] | None:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            data = os.read(self._in, 1 << 20)
            if not data:
                raise PageError((self._folder / "chromium.log").read_text()[-2000:])
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed

    def close(self) -> None:
        try:
            self.ask("Browser.close")
            self._process.wait(10)
        except (PageError, TimeoutError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser, self._session, self._context = browser, session, context
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.ask(method, self._session, **parameters)

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """Below 600 pixels it is a phone."""
        phone = width < 600
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme, still])

    def go(self, url: str) -> None:
        self._ask("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def reload(self) -> None:
        self.run("window.before_reload = true")
        self._ask("Page.reload")
        self.wait("!window.before_reload && document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression, awaited, as if a user had pressed something. Raises PageError."""
        answer = self._ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait(self, condition: str, within: float = PATIENCE) -> Any:
        """Until an expression is true; gives its value."""
        deadline = time.monotonic() + within
        while True:
            try:
                value = self.run(condition)
            except PageError as error:
                if "navigated" not in str(error):
                    raise
                value = None  # it is being loaded
            if value:
                return value
            if time.monotonic() > deadline:
                raise PageError(
                    f"not within {within} s: {condition}\n{self.text('body')[-1500:]}\n{self.errors()}"
                )
            time.sleep(0.03)

    def text(self, selector: str) -> str:
        """What a user reads in it: without what is hidden."""
        return str(self.run(f"document.querySelector({selector!r}).innerText"))

    def shows(self, selector: str) -> bool:
        return bool(self.run(f"document.querySelector({selector!r})?.checkVisibility() ?? false"))

    def click(self, selector: str, text: str | None = None) -> None:
        """Presses the middle of the first that can be seen (and says this), as a mouse does, once it rests."""
        center = self.wait(
            f"(async () => {{ const all = [...document.querySelectorAll({selector!r})], text = {json.dumps(text)};"
            " const found = all.find((one) => one.checkVisibility() && (text === null || one.innerText === text));"
            " if (!found || found.disabled) return null; found.scrollIntoView({ block: 'center' });"
            " const look = () => { const { x, y, width, height } = found.getBoundingClientRect();"
            " return [x + width / 2, y + height / 2]; };"
            " const [x, y] = look(); await new Promise((resolve) => setTimeout(resolve, 50));"
            " return found.isConnected && String(look()) === String([x, y]) ? [x, y] : null; })()"
        )
        self.drag(center, center)

    def drag(self, start: Sequence[float], end: Sequence[float]) -> None:
        """Presses the mouse at one point and lets it go at another, in pixels of the window."""
        self._mouse("mouseMoved", start)
        self._mouse("mousePressed", start)
        if start != end:
            self._mouse("mouseMoved", end)
        self._mouse("mouseReleased", end)

    def _mouse(self, kind: str, at: Sequence[float]) -> None:
        pressed = "none" if kind == "mouseMoved" else "left"
        self._ask(
            "Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button=pressed, buttons=1, clickCount=1
        )

    def press(self, key: str) -> None:
        """A key by its name, such as Tab, Enter or ArrowLeft."""
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39}
        text = {"text": "\r"} if key == "Enter" else {}
        self._ask(
            "Input.dispatchKeyEvent",
            type="keyDown",
            key=key,
            code=key,
            windowsVirtualKeyCode=codes[key],
            **text,
        )
        self._ask("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=codes[key])

    def type(self, selector: str, text: str) -> None:
        self.wait(f"document.querySelector({selector!r})?.checkVisibility()")
        self.run(f"document.querySelector({selector!r}).focus()")
        self._ask("Input.insertText", text=text)

    def choose_files(self, selector: str, *files: Path) -> None:
        """As if the dialog for files had given these."""
        root = self._ask("DOM.getDocument", depth=0)["root"]["nodeId"]
        node = self._ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._ask("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def slow_down(self, upload: float) -> None:
        """``upload``: bytes per second; 0 for as fast as it goes."""
        self._ask(
            "Network.emulateNetworkConditions",
            offline=False, latency=0, downloadThroughput=-1, uploadThroughput=upload or -1,
        )  # fmt: skip

    def save_downloads(self, folder: Path) -> None:
        self._browser.ask(
            "Browser.setDownloadBehavior",
            behavior="allow",
            downloadPath=str(folder),
            browserContextId=self._context,
        )

    def screenshot(self, file: Path, *, whole: bool = True, kind: str = "png", quality: int = 80) -> None:
        options = {"quality": quality} if kind != "png" else {}
        shot = self._ask(
            "Page.captureScreenshot", format=kind, captureBeyondViewport=whole, **self._clip(whole), **options
        )
        file.write_bytes(base64.b64decode(shot["data"]))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        width, height = self.run("[innerWidth, document.documentElement.scrollHeight]")
        return {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}}

    def errors(self) -> list[str]:
        """Exceptions, and what the browser complained of: refused scripts and styles are among them, refusals of the
        API are not."""
        thrown = [
            one["exceptionDetails"].get("exception", {}).get("description", "")
            for one in self._browser.events(self._session, "Runtime.exceptionThrown")
        ]
        logged = [one["entry"] for one in self._browser.events(self._session, "Log.entryAdded")]
        said = [f"{e['text']} {e.get('url', '')}" for e in logged if e["level"] in ("error", "warning")]
        return thrown + [
            one for one in said if not (one.startswith("Failed to load resource") and "/v1/" in one)
        ]

    def statuses(self) -> set[int]:
        """Of all answers."""
        answers = self._browser.events(self._session, "Network.responseReceived")
        return {one["response"]["status"] for one in answers}

    def requests(self) -> list[str]:
        """Every address that was asked for."""
        return [
            one["request"]["url"] for one in self._browser.events(self._session, "Network.requestWillBeSent")
        ]

    def close(self) -> None:
        self._browser.ask("Target.disposeBrowserContext", browserContextId=self._context)
