"""An index of packages on this machine, of one wheel, that serves it whole or in odd ways."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Index:
    """`cut` sends half of the wheel and hangs up; `waits` sends half and sends no more."""

    def __init__(self, wheel: Path, *, cut: bool = False, waits: bool = False) -> None:
        self.wheel, self.cut, self.waits = wheel, cut, waits
        self.asked, self.over = threading.Event(), threading.Event()
        self.url = ""

    @contextmanager
    def serving(self) -> Iterator[Index]:
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}/simple"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self.over.set()
            server.shutdown()
            server.server_close()

    def answer(self, asking: BaseHTTPRequestHandler) -> None:
        is_wheel = asking.path.endswith(".whl")
        page = f'<a href="/{self.wheel.name}">{self.wheel.name}</a>'.encode()
        content = self.wheel.read_bytes() if is_wheel else page
        asking.send_response(200)
        asking.send_header("Content-Type", "application/zip" if is_wheel else "text/html")
        asking.send_header("Content-Length", str(len(content)))
        asking.end_headers()
        is_part = is_wheel and (self.cut or self.waits)
        asking.wfile.write(content[: len(content) // 2] if is_part else content)
        asking.wfile.flush()
        if is_wheel:
            self.asked.set()
            if self.waits:
                self.over.wait(60)
