"""Archives unpacked safely: nothing leaves the folder, nothing but files and folders, bounded, whole or not at all."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from bench.catalog.address import ARCHIVES
from bench.errors import CatalogError, Rejected

if TYPE_CHECKING:
    from typing_extensions import Self

CHUNK = 1 << 20
DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
    ValueError, OverflowError,
)  # fmt: skip
LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip
HEADER_BYTES = 1 << 20  # of such a one, which tarfile reads into memory


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold."""

    size_bytes: int = 16 << 30
    files: int = 200_000
    ratio: float = 100.0  # of what is unpacked to the archive, beyond `free_bytes`
    free_bytes: int = 64 << 20

    def bound(self, archive_bytes: int) -> int:
        """The bytes that an archive of that size may hold."""
        return int(min(self.size_bytes, max(self.free_bytes, self.ratio * archive_bytes)))


USUAL = Limits()


@dataclass(frozen=True)
class Entry:
    """A member of an archive."""

    name: str
    kind: str  # "file", "folder", or what else it is
    open: Callable[[], IO[bytes]]


def is_archive(name: str) -> bool:
    """Whether a file of that name is unpacked."""
    return name.lower().endswith(ARCHIVES)


def unpack(archive: Path, target: Path, limits: Limits = USUAL) -> None:
    """Make the folder `target` of an archive; a CatalogError says why it was refused, and then nothing is left.

    Modes, owners and times are not taken over.
    """
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.unpacking-", dir=target.parent))
    content = scratch / "content"
    try:
        content.mkdir()
        with _entries(archive) as entries:
            _write(entries, content, limits, limits.bound(archive.stat().st_size))
        content.rename(target)
    except DAMAGED as error:
        what = _first_line(error)
        raise Rejected(f"{archive}: damaged, or not the archive that its name says: {what}") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a zip that wants a password
        raise CatalogError(f"{archive}: cannot be unpacked to {target}: {error}") from error
    except _Refused as error:
        raise Rejected(f"{archive}: refused, and nothing of it is kept: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _first_line(error: BaseException) -> str:
    """Of several, one for each way in which an archive could have been packed."""
    return str(error).partition("\n")[0].rstrip(":")


class _Refused(Exception):
    """An archive that holds what it should not."""


def _write(entries: Iterator[Entry], folder: Path, limits: Limits, bound: int) -> None:
    written = 0
    for count, entry in enumerate(entries, start=1):
        if count > limits.files:
            raise _Refused(f"it holds more than {limits.files} files")
        place = folder / _relative(entry.name)
        if entry.kind == "folder":
            place.mkdir(parents=True, exist_ok=True)
        elif entry.kind == "file":
            place.parent.mkdir(parents=True, exist_ok=True)
            written += _copy(entry, place, bound - written)
        else:
            raise _Refused(f"{entry.name!r} is a {entry.kind}; only files and folders are unpacked")


def _copy(entry: Entry, place: Path, left: int) -> int:
    """Write one file; gives its size, which is counted, not believed."""
    size = 0
    try:
        with entry.open() as source, place.open("xb") as sink:
            while chunk := source.read(CHUNK):
                size += len(chunk)
                if size > left:
                    raise _Refused(f"it unpacks to too much for its own size: {entry.name!r} goes beyond the bound")
                sink.write(chunk)
    except FileExistsError as error:
        raise _Refused(f"it holds {entry.name!r} twice") from error
    return size


def _relative(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise _Refused(f"{name!r} leads out of the folder")
    return path


@contextmanager
def _entries(archive: Path) -> Iterator[Iterator[Entry]]:
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            yield _of_zip(zipped)
    else:
        with tarfile.open(archive, tarinfo=_Member) as tarred:
            yield _of_tar(tarred)


class _Member(tarfile.TarInfo):
    """A header, refused before tarfile reads what belongs to it, of any length, into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in LONG_HEADERS and member.size > HEADER_BYTES:
            raise _Refused(f"a header in it is {member.size} bytes long")
        if member.type == tarfile.GNUTYPE_SPARSE:
            raise _Refused(f"{member.name!r} is a sparse file; only files and folders are unpacked")
        return member


def _of_tar(archive: tarfile.TarFile) -> Iterator[Entry]:
    for member in archive:
        yield Entry(member.name, _tar_kind(member), lambda member=member: _opened(archive, member))  # type: ignore[misc]


def _opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    opened = archive.extractfile(member)
    if opened is None:
        raise _Refused(f"{member.name!r} cannot be read")
    return opened


def _tar_kind(member: tarfile.TarInfo) -> str:
    if member.isreg():
        return "file"
    if member.isdir():
        return "folder"
    if member.issym() or member.islnk():
        return f"link to {member.linkname!r}"
    return "device or pipe"


def _of_zip(archive: zipfile.ZipFile) -> Iterator[Entry]:
    for member in archive.infolist():
        yield Entry(member.filename, _zip_kind(member), lambda member=member: archive.open(member))  # type: ignore[misc]


def _zip_kind(member: zipfile.ZipInfo) -> str:
    mode = member.external_attr >> 16
    if not member.filename:  # of which is_dir knows nothing
        return "file without a name"
    if member.is_dir():
        return "folder"
    if stat.S_IFMT(mode) in (0, stat.S_IFREG):
        return "file"
    return "link" if stat.S_ISLNK(mode) else "device or pipe"


def remove_leftovers(target: Path) -> None:
    """Remove what a killed process left half unpacked; for who holds the lock."""
    for scratch in target.parent.glob(f".{target.name}.unpacking-*"):
        shutil.rmtree(scratch, ignore_errors=True)
