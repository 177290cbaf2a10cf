"""A headless Chromium that opens one page and tells what happened: driven over the DevTools protocol, loopback only."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE = 60.0  # seconds that anything may take
CODES = {"Tab": 9, "Enter": 13, "Space": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowDown": 40}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
]


def find_chromium() -> str | None:
    """The browser's path, under any of the names that it goes by."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return next((path for path in map(shutil.which, names) if path), None)


@dataclass
class Page:
    """One tab; `requests` and `messages` hold all that it asked for and printed since it was opened."""

    socket: Any
    session: str = ""
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    _number: int = 0
    _loaded: bool = False

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": arguments}
        self.socket.send(json.dumps(message | ({"sessionId": self.session} if self.session else {})))
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, url: str, width: int = 1280, dark: bool = False) -> None:
        """Load a page, and give whatever it starts late some time to show."""
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}  # or a click would race with smooth scrolling
        self.call("Emulation.setEmulatedMedia", features=[scheme, still])
        self.call("Page.navigate", url=url)
        while not self._loaded:
            self._receive()
        self.evaluate("new Promise(done => setTimeout(done, 300))")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def middle(self, element: str) -> tuple[float, float]:
        """Scroll to what a JavaScript expression gives, and say where in the window its middle is."""
        x, y = self.evaluate(
            f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center', behavior: 'instant'}});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        return x, y

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element, wherever it is on the page."""
        x, y = self.middle(f"document.querySelector({json.dumps(selector)})")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, *keys: str) -> None:
        """Press and release keys of the keyboard, one after the other, by their names in CODES."""
        for key in keys:
            text = {"Enter": "\r", "Space": " "}.get(key, "")
            common = {"key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": CODES[key]}
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
            self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, target: Path) -> None:
        """The whole page as a PNG."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        target.write_bytes(base64.b64decode(picture["data"]))

    def _receive(self) -> dict[str, Any]:
        event = json.loads(self.socket.recv(timeout=PATIENCE))
        what, content = event.get("method"), event.get("params", {})
        if what == "Network.requestWillBeSent":
            self.requests.append(content["request"]["url"])
        elif what == "Log.entryAdded":
            self.messages.append(content["entry"]["text"])
        elif what == "Runtime.consoleAPICalled":
            self.messages.append(str([part.get("value") for part in content["args"]]))
        elif what == "Runtime.exceptionThrown":
            self.messages.append(content["exceptionDetails"]["text"])
        elif what == "Page.javascriptDialogOpening":
            self.messages.append(f"dialog: {content['message']}")
        elif what == "Page.loadEventFired":
            self._loaded = True
        return event


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A tab of a browser that is gone when the block ends."""
    from websockets.sync.client import connect

    executable = find_chromium()
    assert executable is not None
    process = subprocess.Popen(
        [executable, *FLAGS, f"--user-data-dir={profile}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with connect(_address(profile, process), max_size=None, proxy=None) as socket:
            page = Page(socket)
            target = page.call("Target.createTarget", url="about:blank")["targetId"]
            page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            yield page
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=PATIENCE)


def _address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the browser listens: it writes its port and path into its profile."""
    file, end = profile / "DevToolsActivePort", time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, f"chromium ended with {process.returncode}"
        if file.is_file() and len(lines := file.read_text().split()) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise AssertionError("chromium did not start")
