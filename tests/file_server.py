"""A local HTTP server of files that knows ranges, and can be told to break off."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server gives, how, and what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"1"'
    ranges: bool = True
    encoding: str | None = None  # that it says the content has
    break_after: list[int] = field(default_factory=list)  # bytes of the next answers; then whole ones
    asked: list[str | None] = field(default_factory=list)  # the Range of each request
    address: str = ""

    def url(self, name: str) -> str:
        return f"{self.address}/{name}"


@contextlib.contextmanager
def serving() -> Iterator[Served]:
    """A server on this machine, until the block ends."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the screen."""

        def do_GET(self) -> None:
            content = served.files.get(self.path.lstrip("/"))
            if content is None:
                self.send_error(404)
                return
            asked = self.headers.get("Range")
            served.asked.append(asked)
            start = self._start(asked)
            if start > len(content) or (start and start == len(content)):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            if served.encoding:
                self.send_header("Content-Encoding", served.encoding)
            if served.etag:
                self.send_header("ETag", served.etag)
            self.end_headers()
            body = content[start:]
            self.wfile.write(body[: served.break_after.pop(0)] if served.break_after else body)
            self.close_connection = True

        def _start(self, asked: str | None) -> int:
            same = self.headers.get("If-Range") in (None, served.etag)
            match = re.fullmatch(r"bytes=(\d+)-", asked or "")
            return int(match[1]) if match and same and served.ranges else 0

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
