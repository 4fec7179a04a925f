"""A real Chromium, driven over a pipe by the DevTools protocol: no driver, no package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

FOUND: Final = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium: Final = pytest.mark.skipif(
    not (FOUND and shutil.which("bash")), reason="needs chromium: apt-get install chromium"
)


_KEYS: Final = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " ")}


class Page:
    """One page."""

    def __init__(self, send: Callable[..., Any], events: deque[dict[str, Any]]) -> None:
        self._send = send
        self._events = events
        for domain in ("Page", "Runtime", "Log"):
            self._send(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to *url*, and wait until it is loaded."""
        self._events.clear()
        went = self._send("Page.navigate", url=url)
        assert "errorText" not in went, went
        self._wait_until_loaded()

    def follow(self, script: str) -> None:
        """Run a script that goes elsewhere, and wait until that is loaded."""
        self._events.clear()
        self.run(script)
        self._wait_until_loaded()

    def _wait_until_loaded(self) -> None:
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self.run("new Promise(requestAnimationFrame)")

    def run(self, script: str) -> Any:
        """Return what *script* evaluates to, once it is settled."""
        answer = self._send(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    @property
    def complaints(self) -> list[str]:
        """What it has logged since it was opened: scripts that failed, what its policy blocked."""
        logged = [event["params"] for event in self._events if event["method"] == "Log.entryAdded"]
        thrown = [
            json.dumps(event["params"])
            for event in self._events
            if event["method"] == "Runtime.exceptionThrown"
        ]
        return [one["entry"]["text"] for one in logged if one["entry"]["level"] == "error"] + thrown

    def wait(self, condition: str) -> None:
        """Wait until *condition*, a script, is true."""
        self.run(
            "new Promise(done => { const look = () => "
            f"({condition}) ? done() : requestAnimationFrame(look); look() }})"
        )

    def press(self, key: str) -> None:
        """Press and release a key."""
        code, text = _KEYS[key]
        for kind in ("keyDown", "keyUp"):
            self._send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                text=text if kind == "keyDown" else "",
            )

    def look(self, *, width: int, scheme: str = "light", language: str = "en") -> None:
        """Take on a width, a colour scheme and a language."""
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._send("Emulation.setEmulatedMedia", features=[feature])
        agent = self._send("Browser.getVersion")["userAgent"]
        self._send("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)

    def picture(self, file: Path) -> None:
        """Write a picture of all of it."""
        shot = self._send("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(b64decode(shot["data"]))


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """Run Chromium with a profile of its own, and yield a page."""
    ours, to_browser = os.pipe()
    from_browser, theirs = os.pipe()
    arguments = [
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"),
    ]
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$@" 3<&{ours} 4>&{theirs}', "bash", str(FOUND), *arguments],
        pass_fds=[ours, theirs],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(ours)
    os.close(theirs)
    with os.fdopen(to_browser, "wb", 0) as writer, os.fdopen(from_browser, "rb") as reader:
        events: deque[dict[str, Any]] = deque(maxlen=500)
        messages = _messages(reader)
        numbers = iter(range(1, 1_000_000))

        def send(method: str, session: str = "", **parameters: Any) -> Any:
            number = next(numbers)
            message = {"id": number, "method": method, "params": parameters}
            if session:
                message["sessionId"] = session
            writer.write(json.dumps(message).encode() + b"\0")
            for answer in messages:
                if answer.get("id") == number:
                    assert "error" not in answer, answer["error"]
                    return answer["result"]
                events.append(answer)
            raise AssertionError("chromium ended")

        try:
            target = send("Target.createTarget", url="about:blank")["targetId"]
            attached = send("Target.attachToTarget", targetId=target, flatten=True)
            session = attached["sessionId"]
            yield Page(lambda method, **more: send(method, session, **more), events)
            send("Browser.close")
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(30)


def _messages(reader: Any) -> Iterator[dict[str, Any]]:
    waiting = b""
    while octets := os.read(reader.fileno(), 65536):
        *whole, waiting = (waiting + octets).split(b"\0")
        yield from map(json.loads, whole)
