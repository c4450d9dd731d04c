"""Archives: what is in them arrives; malicious, damaged and oversized ones are refused and leave nothing."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.catalog.unpack import Limits, is_archive, unpack
from bench.errors import CatalogError

FILES = {"model/saved_model.pb": b"graph", "model/variables/variables.index": b"", "readme.txt": b"\0" * 3000}


def tar_member(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    member.size = len(content) if kind == tarfile.REGTYPE else 0
    member.mode = 0o4777
    return member


def write_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return path


def write_zip(path: Path, files: dict[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
    return path


def write(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        return write_zip(path, files)
    return write_tar(path, *((tar_member(name, content), content) for name, content in files.items()))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder to unpack in, with something beside it that no archive may touch."""
    (tmp_path / "beside.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def refused(archive: Path, home: Path, words: str, limits: Limits | None = None) -> None:
    """Refused with these words, and nothing is there that was not before."""
    before = contents(home.parent)
    with pytest.raises(CatalogError, match=words):
        unpack(archive, home / "model", limits or Limits())
    assert contents(home.parent) == before
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "a.zip"])
def test_what_is_in_an_archive_arrives(home: Path, name: str) -> None:
    archive = write(home.parent / name, FILES)
    assert is_archive(name)
    unpack(archive, home / "model")
    assert contents(home / "model") == FILES
    assert [path.name for path in home.iterdir()] == ["model"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (home / "model").rglob("*") if path.is_file()}
    assert not any(mode & 0o7111 for mode in modes)  # neither setuid nor executable


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    files=st.dictionaries(
        st.lists(st.text("abc._ -é", min_size=1, max_size=6), min_size=1, max_size=3).map("/".join),
        st.binary(max_size=200),
        max_size=6,
    ),
    suffix=st.sampled_from([".tar.gz", ".zip"]),
)
def test_files_stay_inside_or_nothing_is_there(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], suffix: str
) -> None:
    parent = tmp_path_factory.mktemp("unpacked")
    archive = write(parent / f"a{suffix}", files)
    (parent / "home").mkdir()
    try:
        unpack(archive, parent / "home" / "model")
    except CatalogError:
        assert list((parent / "home").iterdir()) == []
    else:
        assert sum(map(len, contents(parent / "home" / "model").values())) == sum(map(len, files.values()))
    assert {path.name for path in parent.iterdir()} == {archive.name, "home"}


MALICIOUS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "absolute": (lambda path: write(path / "a.tar", {"/tmp/evil": b"x"}), "'/tmp/evil' leads out of the folder"),
    "parent": (lambda path: write(path / "a.tar", {"a/../../beside.txt": b"x"}), "leads out of the folder"),
    "parent in a zip": (lambda path: write(path / "a.zip", {"../beside.txt": b"x"}), "leads out of the folder"),
    "absolute in a zip": (lambda path: write(path / "a.zip", {"/etc/evil": b"x"}), "leads out of the folder"),
    "symlink out": (
        lambda path: write_tar(
            path / "a.tar", (tar_member("model", kind=tarfile.SYMTYPE, link="../.."), b""),
            (tar_member("model/beside.txt"), b"x"),
        ),
        r"'model' is a link to '../..'",
    ),
    "hardlink out": (
        lambda path: write_tar(path / "a.tar", (tar_member("a", kind=tarfile.LNKTYPE, link="../../beside.txt"), b"")),
        "'a' is a link",
    ),
    "symlink in a zip": (
        lambda path: write_zip(path / "a.zip", {"model": b"../.."}, stat.S_IFLNK | 0o777), "'model' is a link",
    ),
    "device": (lambda path: write_tar(path / "a.tar", (tar_member("null", kind=tarfile.CHRTYPE), b"")), "is a device"),
    "pipe": (lambda path: write_tar(path / "a.tar", (tar_member("pipe", kind=tarfile.FIFOTYPE), b"")), "or pipe"),
    "a file after a good one": (
        lambda path: write(path / "a.tar", {"good": b"x" * 100, "../beside.txt": b"x"}), "leads out of the folder",
    ),
    "the same name twice": (
        lambda path: write_tar(path / "a.tar", (tar_member("a"), b"x"), (tar_member("a"), b"y")), "holds 'a' twice",
    ),
    "a file that is a folder too": (
        lambda path: write(path / "a.tar", {"a": b"x", "a/b": b"y"}), "cannot be unpacked",
    ),
    "no name in a zip": (
        lambda path: write_zip(path / "a.zip", {"\0a": b"x"}), "'' is a file without a name",
    ),
    "a sparse file": (
        lambda path: write_tar(path / "a.tar", (tar_member("s", kind=tarfile.GNUTYPE_SPARSE), b"")), "sparse file",
    ),
    "bomb": (lambda path: write(path / "a.tar.gz", {"zeros": bytes(80 << 20)}), "unpacks to too much"),
    "bomb in a zip": (lambda path: write(path / "a.zip", {"zeros": bytes(80 << 20)}), "unpacks to too much"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words"), MALICIOUS.values(), ids=MALICIOUS)
def test_a_malicious_archive_is_refused_and_leaves_nothing(
    home: Path, make: Callable[[Path], Path], words: str
) -> None:
    refused(make(home.parent), home, words)


def test_a_zip_that_lies_about_its_sizes_is_counted(home: Path) -> None:
    archive = write(home.parent / "a.zip", {"zeros": bytes(5000)})
    content = archive.read_bytes()
    archive.write_bytes(content.replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little")))
    refused(archive, home, "damaged|too much", Limits(size_bytes=1000))


def test_the_number_of_files_is_bounded(home: Path) -> None:
    archive = write(home.parent / "a.tar", {str(number): b"" for number in range(11)})
    refused(archive, home, "more than 10 files", Limits(files=10))
    unpack(archive, home / "model", Limits(files=11))


def test_the_size_is_bounded_to_the_byte(home: Path) -> None:
    archive = write(home.parent / "a.tar", {"a": b"x" * 600, "b": b"x" * 400})
    refused(archive, home, "too much", Limits(size_bytes=999))
    unpack(archive, home / "model", Limits(size_bytes=1000))


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_a_truncated_archive_is_damaged_and_leaves_nothing(home: Path, name: str, share: float) -> None:
    archive = write(home.parent / name, {"noise": bytes(range(256)) * 300})
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    refused(archive, home, "damaged")


def test_a_page_that_is_no_archive_is_damaged(home: Path) -> None:
    archive = home.parent / "a.tar.gz"
    archive.write_text("<html>Not found</html>", encoding="utf-8")
    refused(archive, home, "damaged, or not the archive that its name says: [^\n]*$")


def test_an_interruption_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write(home.parent / "a.tar", FILES)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.catalog.unpack._copy", interrupt)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, home / "model")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_as_long_as_a_bomb_is_not_read(home: Path, kind: bytes) -> None:
    """tarfile reads it whole, before any member is seen."""
    header = tarfile.TarInfo("name")
    header.type, header.size = kind, 64 << 20
    archive = home.parent / "a.tar.gz"
    with gzip.open(archive, "wb") as packed:
        packed.write(header.tobuf(tarfile.GNU_FORMAT))
        packed.write(b"a" * header.size)
    tracemalloc.start()
    refused(archive, home, "refused, and nothing of it is kept: a header in it is 67108864 bytes long")
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_long_names_are_names(home: Path) -> None:
    files = {"folder/" * 30 + "name": b"x"}
    unpack(write(home.parent / "a.tar", files), home / "model")
    assert contents(home / "model") == files


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6))
def test_whatever_is_damaged_is_an_error_that_says_so(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: list[tuple[float, int]]
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = bytearray(write(folder / name, FILES).read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    (folder / name).write_bytes(content)
    with suppress(CatalogError):
        unpack(folder / name, folder / "model")
    assert {path.name for path in folder.iterdir()} <= {name, "model"}
