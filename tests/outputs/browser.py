"""A browser as the tests of the report use it."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

QUIET = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def programs() -> tuple[str, str]:
    """Chromium and its driver."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("no browser: apt-get install chromium chromium-driver brings one")
    return browser, driver


class Page:
    """The report opened from a file, and what the browser saw of it."""

    def __init__(self, path: Path, width: int, height: int, dark: bool) -> None:
        from selenium.webdriver import Chrome, ChromeOptions, ChromeService

        browser, driver = programs()
        options = ChromeOptions()
        options.binary_location = browser
        for argument in [*QUIET, *["--no-sandbox"] * (os.geteuid() == 0)]:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.browser = Chrome(options, ChromeService(driver))
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.width = width
        self.open(path.as_uri())

    def open(self, address: str) -> None:
        self.browser.get(address)
        self.wait("return !!document.querySelector('#app > *')", "Allure's page is there")

    def run(self, script: str, *arguments: object) -> object:
        return self.browser.execute_script(script, *arguments)

    def command(self, name: str, **given: object) -> Any:
        """One of the browser's own (Chrome DevTools Protocol)."""
        return self.browser.execute_cdp_cmd(name, given)

    def wait(self, script: str, what: str, seconds: float = 60) -> object:
        """Until a script gives something true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.run(script):
                return found
            time.sleep(0.1)
        raise AssertionError(f"after {seconds} s still not: {what}")

    def click(self, selector: str) -> None:
        self.wait(f"return document.querySelector({json.dumps(selector)})", f"{selector} is there")
        self.run("document.querySelector(arguments[0]).click()", selector)

    def requests(self) -> list[str]:
        """Every address that was asked for, but for those that carry their content."""
        messages = (
            json.loads(e["message"])["message"] for e in self.browser.get_log("performance")
        )
        asked = (
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        )
        return [address for address in asked if not address.startswith(("data:", "about:"))]

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]


@contextmanager
def served_slowly(path: Path, before: bytes) -> Iterator[str]:
    """The address of a file that stops for a second before a part of it is sent."""
    first, found, rest = path.read_bytes().partition(before)
    assert found

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(first)
            time.sleep(1)
            self.wfile.write(found + rest)

        def log_message(self, *_: object) -> None:
            """Nobody reads a log here."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def luminance(color: str) -> float:
    """Relative luminance of rgb(r, g, b) (WCAG 2)."""
    channels = [float(c) / 255 for c in color[color.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
