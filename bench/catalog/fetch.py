"""Downloads by pooch, which checks and places them; interrupted ones go on where they ended."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from bench.catalog.address import file_name
from bench.errors import CatalogError, Rejected

ATTEMPTS = 3
TIMEOUT_S = (10, 60)  # to connect, and between two chunks
CHUNK = 1 << 16
HTTP_PARTIAL, HTTP_UNSATISFIABLE = 206, 416
_OBJECT = re.compile(r"^(?:<.*>|\w+\(.*?\)): ")  # urllib3's own, before what went wrong


def fetch(url: str, folder: Path, sha256: str | None, console: Console) -> Path:
    """The file that an address gives, in a folder; raises CatalogError. Ctrl-C leaves a .part file, to go on with."""
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.ERROR)
    known = None if sha256 is None else f"sha256:{sha256}"
    part = Partial(url, folder / f"{file_name(url)}.part")
    downloader = ResumingDownloader(part, is_verified=sha256 is not None, console=console)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(pooch.retrieve(url, known, fname=file_name(url), path=folder, downloader=downloader))
    except requests.RequestException as error:
        raise CatalogError(f"{url} cannot be fetched: {_reason(error)}{part.kept(sha256 is not None)}") from error
    except ValueError as error:  # pooch's, of a checksum that does not agree
        raise Rejected(f"{url}: not the file that the card means, and not kept: {error}") from error
    except OSError as error:
        kept = part.kept(sha256 is not None)
        raise CatalogError(f"{folder}: cannot be written to: {error.strerror or error}{kept}") from error


@dataclass(frozen=True)
class Partial:
    """A download that has not ended: its bytes, and beside them what tells whether the server still has the same."""

    url: str
    path: Path

    @property
    def _notes(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def size(self, is_verified: bool) -> int:
        """The bytes to go on after: none where nothing tells that they are of the same file, or no part is given."""
        if not self.path.is_file() or not self.is_given_in_parts() or not (is_verified or self.validator()):
            return 0
        return self.path.stat().st_size

    def validator(self) -> str | None:
        """The ETag, or the time of the last change, that the server gave with the first bytes."""
        return self._noted().get("validator")

    def is_given_in_parts(self) -> bool:
        """False where the server is known to have given the whole when it was asked for the rest."""
        return self._noted().get("in_parts") is not False

    def begin(self, headers: Mapping[str, str], was_asked_for_rest: bool) -> None:
        """Start anew, with what the server says of the file, and whether it gave the whole in place of the rest."""
        etag = headers.get("ETag")
        validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")
        is_same = self.validator() in (None, validator)
        noted = {"url": self.url, "validator": validator, "in_parts": not (was_asked_for_rest and is_same)}
        self._notes.write_text(json.dumps(noted), encoding="utf-8")
        self.path.unlink(missing_ok=True)

    def _noted(self) -> dict[str, Any]:
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) and notes.get("url") == self.url else {}

    def hand_over(self, place: Path) -> None:
        """The whole file goes to where it is checked."""
        os.replace(self.path, place)
        self._notes.unlink(missing_ok=True)

    def kept(self, is_verified: bool) -> str:
        """What to tell of the bytes that are there; those that nothing could be added to are removed."""
        if size := self.size(is_verified):
            return f"; {size} bytes are kept in {self.path}: the same command goes on from there"
        told = "" if self.is_given_in_parts() else "; the server gives no parts of a file: the same command begins anew"
        for path in (self.path, self._notes):
            path.unlink(missing_ok=True)
        return told


class ResumingDownloader:
    """A downloader for pooch that asks for the rest of what is there already."""

    def __init__(self, part: Partial, is_verified: bool, console: Console) -> None:
        self._part = part
        self._is_verified = is_verified
        self._console = console

    def __call__(self, url: str, output_file: str | Path | IO[bytes], pooch: Any, check_only: bool = False) -> None:
        """Fetch the file, over a few connections if need be; raises what requests raises."""
        import requests

        broken = (requests.ConnectionError, requests.Timeout)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._connect(url)
                break
            except broken:
                if attempt == ATTEMPTS or not self._part.size(self._is_verified):
                    raise
        self._part.hand_over(Path(str(getattr(output_file, "name", output_file))))

    def _connect(self, url: str) -> None:
        import requests

        start = self._part.size(self._is_verified)
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if validator := self._part.validator():
                headers["If-Range"] = validator
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            if response.status_code == HTTP_UNSATISFIABLE and start:
                if response.headers.get("Content-Range") == f"bytes */{start}":
                    return  # all of it was there
                self._part.path.unlink()
                raise requests.ConnectionError("the file has become shorter since its first bytes were fetched")
            response.raise_for_status()
            if response.status_code != HTTP_PARTIAL:
                self._part.begin(response.headers, was_asked_for_rest=start > 0)
                start = 0
            self._receive(response, start)

    def _receive(self, response: Any, start: int) -> None:
        import requests
        import urllib3

        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        with _bar(self._console, self._part, start, total) as advance, self._part.path.open("ab") as sink:
            broken = None
            try:
                for chunk in response.raw.stream(CHUNK, decode_content=False):  # a .gz stays one, whatever its label
                    sink.write(chunk)
                    advance(len(chunk))
            except urllib3.exceptions.HTTPError as error:
                broken = error
        got = self._part.path.stat().st_size
        if broken is not None or total not in (None, got):
            of = "" if total is None else f" of {total}"
            raise requests.ConnectionError(f"the connection ended after {got}{of} bytes") from broken


@contextlib.contextmanager
def _bar(console: Console, part: Partial, start: int, total: int | None) -> Iterator[Any]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(file_name(part.url), total=total, completed=start)
        yield lambda count: progress.update(task, advance=count)


def _reason(error: Exception) -> str:
    """What requests says, without the names of its own objects."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code} {response.reason}"
    cause = error.args[0] if error.args else error
    return _OBJECT.sub("", str(getattr(cause, "reason", cause)))
