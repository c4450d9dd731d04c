"""`bench models download` from a local server: resumed, checked, recorded; what is refused leaves nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.catalog.dataset_cards import Archive
from bench.catalog.download import download_model, record_path
from bench.catalog.fetch import CHUNK, fetch
from bench.errors import CatalogError
from tests.configs import ROOT, bench
from tests.file_server import Served, serving

QUIET = Console(file=io.StringIO())
NOISE = bytes(os.urandom(300_000))


@pytest.fixture
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Path("models").mkdir()
    Path("zoo").mkdir()


def packed(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


ARCHIVE = packed({"net/saved_model/saved_model.pb": b"graph", "net/saved_model/variables/noise": NOISE})
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


def write_card(server: Served, content: bytes = ARCHIVE, **source: Any) -> None:
    server.files["net.tar.gz"] = content
    given = {"url": server.url("net.tar.gz"), "inside": "net/saved_model", **source}
    card = {"name": "net", "description": "of the tests", "task": "classification", "source": given}
    Path("models/net.json").write_text(json.dumps(card), encoding="utf-8")


def there() -> list[str]:
    return sorted(path.name for path in Path("zoo").iterdir())


def parts() -> list[str]:
    return sorted(path.name for path in Path("zoo/.net.fetching").iterdir())


def download() -> str:
    return download_model("net", Path("zoo"), QUIET)


def test_a_model_is_fetched_checked_and_unpacked(server: Served) -> None:
    write_card(server, sha256=SHA256, size_bytes=len(ARCHIVE))
    assert download() == "net is here: zoo/net/net/saved_model (sha256 verified)"
    assert Path("zoo/net/net/saved_model/variables/noise").read_bytes() == NOISE
    assert there() == ["net", "net.download.json"]
    assert download().startswith("net is here already")
    assert len(server.asked) == 1


def test_the_command_says_where_it_is(server: Served) -> None:
    write_card(server, sha256=SHA256)
    outcome = bench("models", "download", "net", "--output-dir", "zoo")
    assert (outcome.exit_code, outcome.stdout) == (0, "net is here: zoo/net/net/saved_model (sha256 verified)\n")
    assert "net.tar.gz" in outcome.stderr  # the progress bar


@pytest.mark.parametrize("sha256", [SHA256, None], ids=["verified", "unverified"])
def test_a_broken_connection_is_taken_up_again(server: Served, sha256: str | None) -> None:
    write_card(server, sha256=sha256)
    server.break_after = [100_000]
    download()
    assert server.asked == [None, "bytes=100000-"]
    assert Path("zoo/net/net/saved_model/variables/noise").read_bytes() == NOISE


def test_a_truncated_download_goes_on_in_the_next_run(server: Served) -> None:
    write_card(server, sha256=SHA256)
    server.break_after = [2 * CHUNK, CHUNK, 100]
    kept = 3 * CHUNK + 100
    with pytest.raises(
        CatalogError, match=rf"ended after {kept} of \d+ bytes; {kept} bytes are kept in zoo/.net.fetching/net.tar"
    ):
        download()
    assert there() == [".net.fetching"] and parts() == ["net.tar.gz.part", "net.tar.gz.part.json"]
    download()
    assert server.asked[3] == f"bytes={kept}-"
    assert there() == ["net", "net.download.json"]


def test_what_changed_in_between_is_fetched_anew(server: Served) -> None:
    other = packed({"net/saved_model/saved_model.pb": b"other", "noise": NOISE})
    write_card(server)
    server.break_after = [100_000] * 3
    with pytest.raises(CatalogError):
        download()
    server.files["net.tar.gz"], server.etag = other, '"2"'
    download()
    assert Path("zoo/net/net/saved_model/saved_model.pb").read_bytes() == b"other"


def test_without_a_validator_or_a_checksum_nothing_is_taken_up(server: Served) -> None:
    write_card(server)
    server.etag = None
    server.break_after = [100_000]
    with pytest.raises(CatalogError, match="ended after 100000 of"):
        download()
    assert there() == []
    download()
    assert server.asked == [None, None]


def test_a_server_without_ranges_gives_the_whole_again(server: Served) -> None:
    write_card(server, sha256=SHA256)
    server.ranges = False
    server.break_after = [100_000]
    download()
    assert Path("zoo/net/net/saved_model/variables/noise").read_bytes() == NOISE


def test_of_a_server_without_ranges_nothing_is_said_to_be_gone_on_with(server: Served) -> None:
    write_card(server, sha256=SHA256)
    server.ranges = False
    server.break_after = [100_000] * 3
    with pytest.raises(CatalogError) as error:
        download()
    told = "bytes; the server gives no parts of a file: the same command begins anew\n"
    assert f"ended after 100000 of {len(ARCHIVE)} {told}" in str(error.value)
    assert there() == []
    server.break_after.clear()
    assert download().endswith("(sha256 verified)")
    assert server.asked == [None, "bytes=100000-", None]


def test_all_of_it_may_be_there_already(server: Served) -> None:
    write_card(server, sha256=SHA256)
    Path("zoo/.net.fetching").mkdir()
    Path("zoo/.net.fetching/net.tar.gz.part").write_bytes(ARCHIVE)
    download()
    assert server.asked == [f"bytes={len(ARCHIVE)}-"]
    assert there() == ["net", "net.download.json"]


def assert_not_to_be_unpacked(told: str) -> None:
    """What was just refused is not to be unpacked by hand."""
    ways = "run the same command again, or put net.tar.gz in 'zoo' from a source that you trust"
    assert f"\ndo not unpack it by hand: {ways}; if the card is wrong, correct its source in models/net.json" in told
    assert "or unpack it so that" not in told


def test_a_wrong_checksum_is_an_error_and_leaves_nothing(server: Served) -> None:
    write_card(server, sha256="0" * 64)
    with pytest.raises(CatalogError, match=f"not the file that the card means.*{SHA256}") as error:
        download()
    assert_not_to_be_unpacked(str(error.value))
    assert there() == []


def test_a_wrong_size_is_an_error_and_leaves_nothing(server: Served) -> None:
    write_card(server, size_bytes=17)
    with pytest.raises(CatalogError, match=f"{len(ARCHIVE)} bytes, and the card says 17"):
        download()
    assert there() == []


def test_a_checksum_that_nobody_verified_is_recorded_and_compared(server: Served) -> None:
    write_card(server)
    assert f"sha256 {SHA256}, unverified: recorded" in download()
    recorded = json.loads(record_path(Path("zoo/net")).read_text(encoding="utf-8"))
    assert (recorded["sha256"], recorded["verified"]) == (SHA256, False)
    Path("zoo/net").rename("elsewhere")
    server.files["net.tar.gz"] = packed({"net/saved_model/saved_model.pb": b"other"})
    with pytest.raises(
        CatalogError, match=f"and {SHA256} when it was first fetched.*its content changed; remove zoo/net"
    ):
        download()
    assert there() == ["net.download.json"]
    record_path(Path("zoo/net")).unlink()
    download()
    assert Path("zoo/net/net/saved_model/saved_model.pb").read_bytes() == b"other"


def test_a_malicious_archive_leaves_nothing(server: Served) -> None:
    write_card(server, packed({"net/saved_model/saved_model.pb": b"graph", "../evil": b"x"}))
    with pytest.raises(CatalogError, match=r"refused, and nothing of it is kept: '../evil' leads out") as error:
        download()
    assert_not_to_be_unpacked(str(error.value))
    assert there() == []
    assert not Path("evil").exists()


def test_an_archive_without_the_model_says_what_it_has_and_leaves_nothing(server: Served) -> None:
    write_card(server, packed({"net/model.ckpt": b"weights"}))
    with pytest.raises(
        CatalogError, match=r"no net/saved_model in it; it has: net, net/model.ckpt; nothing .*net.json$"
    ):
        download()
    assert there() == []
    write_card(server)
    assert "net is here: zoo/net/net/saved_model" in download()


def test_a_folder_that_is_there_without_the_model_is_left_alone(server: Served) -> None:
    write_card(server)
    Path("zoo/net").mkdir()
    Path("zoo/net/mine").touch()
    with pytest.raises(CatalogError, match="'zoo/net' is there, without net/saved_model: move it away first"):
        download()
    assert Path("zoo/net/mine").exists()


def test_a_file_that_is_no_archive_is_put_in_a_folder(server: Served) -> None:
    write_card(server)
    server.files["net.pb"] = b"graph"
    source = {"url": server.url("net.pb"), "inside": "net.pb", "format": "frozen_graph"}
    card = {"name": "net", "description": "", "task": "classification", "source": source}
    Path("models/net.json").write_text(json.dumps(card), encoding="utf-8")
    assert download().startswith("net is here: zoo/net/net.pb (sha256 ")


def test_offline_the_error_says_what_to_fetch_and_where_to_put_it(server: Served) -> None:
    write_card(server, sha256=SHA256)
    with contextlib.closing(__import__("socket").socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/net.tar.gz"
        card = json.loads(Path("models/net.json").read_text(encoding="utf-8"))
        card["source"]["url"] = address
        Path("models/net.json").write_text(json.dumps(card), encoding="utf-8")
        outcome = bench("models", "download", "net", "--output-dir", "zoo")
    assert outcome.exit_code == 2
    assert f"{address} cannot be fetched: Failed to " in outcome.stderr and "refused" in outcome.stderr
    assert "put it in 'zoo' under its own name" in outcome.stderr
    assert there() == []
    Path("zoo/net.tar.gz").write_bytes(ARCHIVE)
    assert download().endswith("(sha256 verified)")
    assert there() == ["net", "net.download.json", "net.tar.gz"]


def test_a_file_put_there_by_hand_is_checked_and_stays(server: Served) -> None:
    write_card(server, sha256=SHA256)
    Path("zoo/net.tar.gz").write_bytes(b"something else")
    with pytest.raises(CatalogError, match=r"zoo/net.tar.gz: sha256 .*, and the card says") as error:
        download()
    assert "not unpack it by hand: replace zoo/net.tar.gz from a source that you trust, or remove it" in str(
        error.value
    )
    assert there() == ["net.tar.gz"]


def test_what_the_server_lacks_is_told(server: Served) -> None:
    with pytest.raises(CatalogError, match=r"/none.tgz cannot be fetched: the server answers 404"):
        fetch(server.url("none.tgz"), Path("zoo"), None, QUIET)


@pytest.mark.parametrize("place", ["zoo", "cache"])
def test_where_nothing_can_be_written_is_told(server: Served, place: str) -> None:
    write_card(server)
    if place == "zoo":
        Path(place).rmdir()
    Path(place).write_text("a file")
    outcome = bench("models", "download", "net", "--output-dir", "zoo")
    assert outcome.exit_code == 2 and "Traceback" not in outcome.stderr
    assert "what is fetched cannot be kept there" in outcome.stderr and "--output-dir" in outcome.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [("vgg16", r"VGG16 is built with random weights.*vgg_16_2016_08_28"), ("shapes_detector", "comes with its card")],
)
def test_what_cannot_be_fetched_is_told(name: str, words: str) -> None:
    with pytest.raises(CatalogError, match=words):
        download_model(name, Path("zoo"), QUIET)


def test_a_card_that_lies_elsewhere_is_fetched_by_its_path_and_says_so(server: Served) -> None:
    write_card(server)
    Path("cards").mkdir()
    Path("models/net.json").rename("cards/net.json")
    server.files.clear()
    with pytest.raises(CatalogError, match=r"with `bench models download cards/net\.json --output-dir zoo`"):
        download_model("cards/net.json", Path("zoo"), QUIET)
    server.files["net.tar.gz"] = ARCHIVE
    assert "net is here: zoo/net" in download_model("cards/net.json", Path("zoo"), QUIET)
    card = json.loads(Path("cards/net.json").read_text(encoding="utf-8"))
    card["source"] = {"path": "../zoo/net/net/saved_model"}
    Path("cards/net.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(CatalogError, match="comes with its card: zoo/net/net/saved_model"):
        download_model("cards/net.json", Path("zoo"), QUIET)


def test_ctrl_c_keeps_what_can_be_gone_on_with_and_nothing_else(server: Served) -> None:
    write_card(server, sha256=SHA256)
    script = (
        "import bench.catalog.fetch, contextlib, os, signal\n"
        "from pathlib import Path\n"
        "from rich.console import Console\n"
        "from bench.catalog.download import download_model\n"
        "bench.catalog.fetch.CHUNK = 10_000\n"
        "@contextlib.contextmanager\n"
        "def stopping(*_):\n"
        "    yield lambda _: os.kill(os.getpid(), signal.SIGINT)\n"
        "bench.catalog.fetch._bar = stopping\n"
        "download_model('net', Path('zoo'), Console(stderr=True))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode in (-signal.SIGINT, 130), done.stderr
    assert there() == [".net.fetching"] and parts() == ["net.tar.gz.part", "net.tar.gz.part.json"]
    download()
    assert server.asked == [None, "bytes=10000-"]
    assert there() == ["net", "net.download.json"]


@pytest.mark.parametrize("label", ["gzip", "x-gzip"])
def test_an_archive_that_is_labelled_as_encoded_is_taken_as_it_is(server: Served, label: str) -> None:
    """As Apache does with .tar.gz, told so or not."""
    server.encoding = label
    write_card(server, sha256=SHA256)
    assert download().endswith("(sha256 verified)")


def test_two_models_whose_archives_have_one_name_are_not_mixed_up(server: Served) -> None:
    """What a killed download of one left is not taken for what the user gave to the other."""
    write_card(server)
    Path("zoo/.other.fetching").mkdir()
    Path("zoo/.other.fetching/net.tar.gz").write_bytes(packed({"net/saved_model/saved_model.pb": b"another"}))
    download()
    assert Path("zoo/net/net/saved_model/saved_model.pb").read_bytes() == b"graph"


def test_archives_of_a_dataset_have_a_folder_each() -> None:
    urls = ("http://host/v1.0-train.zip", "http://host/v1.0-val.tar.gz", "http://host/train2017.zip")
    assert [Archive(url=url).folder for url in urls] == ["v1.0-train", "v1.0-val", "train2017"]
