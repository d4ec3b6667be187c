"""Chromium without a window, driven by its own protocol over a pipe."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ENTER = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}


class Browser:
    """One tab; `requests` holds the address of everything that it has asked for."""

    def __init__(self, folder: Path) -> None:
        (theirs, self._out), (self._in, ours) = os.pipe(), os.pipe()
        # Commands come to file 3, answers go to file 4, each ends with a zero byte.
        start = f'exec "$@" 3<&{theirs} 4>&{ours}'
        self._process = subprocess.Popen(
            ["bash", "-c", start, "bash", CHROMIUM, "--headless=new", "--remote-debugging-pipe",
             "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update",
             f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(theirs, ours), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs)
        os.close(ours)
        self._numbers, self._received = itertools.count(1), b""
        self._session = None
        self.requests: list[str] = []
        self.errors: list[str] = []
        tab = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **arguments):
        """Gives a command, and returns its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": arguments}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _next(self, seconds=60):
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._in], [], [], seconds)
            assert ready, "Chromium does not answer"
            self._received += os.read(self._in, 1 << 20)
        message, _, self._received = self._received.partition(b"\0")
        event = json.loads(message)
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(event["params"]["request"]["url"])
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(event["params"]["exceptionDetails"])[:500])
        return event

    def evaluate(self, script):
        """Returns what an expression gives on the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def comes_true(self, script, seconds):
        """Returns what an expression gives as soon as it is true, or what it gives in the end."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(script)) and time.monotonic() < end:
            time.sleep(0.05)
        return value

    def wait(self, script):
        """Returns what an expression gives as soon as it is true."""
        value = self.comes_true(script, 30)
        assert value, f"did not become true: {script}"
        return value

    def show(self, width, height, *, dark=False):
        """Takes the size of a screen, and dark mode or light."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url, ready):
        """Loads a page, until an expression is true on it."""
        self.call("Page.navigate", url=url)
        self.wait(ready)
        time.sleep(1)  # what Gradio has just drawn does not listen yet

    def type(self, text, selector=None):
        """Types into what has the focus, or into an element, and presses Enter."""
        if selector:
            self.evaluate(f"document.querySelector({selector!r}).focus()")
            self.evaluate(f"document.querySelector({selector!r}).select()")
        if text:
            self.call("Input.insertText", text=text)
        else:
            self.press(key="Delete", code="Delete", windowsVirtualKeyCode=46)
        self.press(**ENTER)

    def press(self, **key):
        """Presses a key and lets it go."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, **key)

    def place_of(self, selector):
        """Returns the middle of an element, scrolled into view."""
        return self.evaluate(
            f"(() => {{ const found = document.querySelector({selector!r});"
            "found.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const box = found.getBoundingClientRect();"
            "return {x: box.x + box.width / 2, y: box.y + box.height / 2}; })()"
        )

    def click(self, selector):
        """Clicks the middle of an element."""
        place = self.place_of(selector)
        self.move(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def move(self, selector):
        """Moves the pointer over an element."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **self.place_of(selector))

    def drop(self, selector, path):
        """Drops a file on an element, as one drags it from a folder."""
        place, data = self.place_of(selector), {"items": [], "files": [str(path)]}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call(
                "Input.dispatchDragEvent", type=kind, **place,
                data={**data, "dragOperationsMask": 1},
            )  # fmt: skip

    def screenshot(self, path):
        """Writes what is seen to a PNG file."""
        Path(path).write_bytes(
            base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        )

    def close(self):
        """Ends Chromium."""
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)
        os.close(self._out)
