"""`bench models download`: fetched, checked against what is known, unpacked; whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from rich.console import Console

from bench.catalog.address import file_name
from bench.catalog.cards import ModelCard
from bench.catalog.fetch import fetch
from bench.catalog.find import find_model, how_to_get
from bench.catalog.lookup import cache_dir, model_file, read_card, shown
from bench.catalog.unpack import USUAL, Limits, is_archive, remove_leftovers, unpack
from bench.errors import CatalogError, Rejected
from bench.store import replace_atomic


def download_model(name: str, output_dir: Path, console: Console) -> str:
    """Fetch a model into `output_dir`/NAME; gives what to tell. A CatalogError says what is wrong and what to do."""
    file = model_file(name)
    card = read_card(file, ModelCard)
    source = card.source
    if source.url is None:
        raise CatalogError(_nothing_to_fetch(card, file.parent))
    target = output_dir / card.name
    try:
        found = find_model(card, str(output_dir))
        return f"{name} is here already: {shown(found.path) if found else target}"
    except CatalogError:
        if target.exists():
            raise CatalogError(
                f"{str(target)!r} is there, without {source.inside or 'a saved_model.pb'}: move it away first"
            ) from None
    return _told(card, output_dir, _obtained(card, file, output_dir, console))


def _obtained(card: ModelCard, file: Path, output_dir: Path, console: Console) -> str:
    """The sha256 of what was fetched; errors say what to do."""
    source, target = card.source, output_dir / card.name
    url = source.url or ""
    try:
        return obtain(url, source.sha256, source.size_bytes, target, console, accept=partial(_holds, card, file))
    except _NoModel:
        raise
    except Rejected as error:
        raise CatalogError(f"{error}\n{how_to_replace(url, output_dir, file)}") from error
    except CatalogError as error:
        raise CatalogError(f"{error}\n{how_to_get(card, str(output_dir), file.parent)}") from error


def how_to_replace(url: str, folder: Path, card: Path) -> str:
    """What to do about a file that was rejected: not to unpack it by hand."""
    name = file_name(url)
    ways = f"run the same command again, or put {name} in {str(folder)!r} from a source that you trust"
    if (folder / name).is_file():
        ways = f"replace {folder / name} from a source that you trust, or remove it, to have it fetched"
    return f"do not unpack it by hand: {ways}; if the card is wrong, correct its source in {shown(card)}"


def obtain(
    url: str,
    sha256: str | None,
    size_bytes: int | None,
    target: Path,
    console: Console,
    limits: Limits = USUAL,
    accept: Callable[[Path], None] = lambda _: None,
) -> str:
    """Make the folder `target` of what an address gives; the sha256 of that is recorded beside it, and returned.

    `accept` looks at the folder, which is removed if it raises a CatalogError.
    A file of the address's own name that lies beside `target` is taken in place of the address, and left there.
    """
    with _alone_with(target):
        remove_leftovers(target)
        with _archive(url, sha256, target, console) as archive:
            digest = _checked(archive, url, sha256, size_bytes, target)
            _place(archive, target, limits)
            _accepted(target, accept)
        _record(target, url, digest, archive_is_verified=sha256 is not None)
    return digest


@contextmanager
def _archive(url: str, sha256: str | None, target: Path, console: Console) -> Iterator[Path]:
    """What lies beside `target` under the address's own name; else what is fetched, and removed in the end."""
    given = target.parent / file_name(url)
    if given.is_file():
        yield given
        return
    folder = target.with_name(f".{target.name}.fetching")  # the target's own: other addresses end in the same name
    try:
        fetched = fetch(url, folder, sha256, console)
        try:
            yield fetched
        finally:
            fetched.unlink(missing_ok=True)
    finally:
        with suppress(OSError):  # a part that the next run goes on with
            folder.rmdir()


@contextmanager
def _alone_with(target: Path) -> Iterator[None]:
    """Nobody else makes the folder meanwhile; a CatalogError where nothing can be written there, or in the cache."""
    from filelock import FileLock

    locks = cache_dir() / "locks"
    try:
        for folder in (target.parent, locks):
            folder.mkdir(parents=True, exist_ok=True)
        with FileLock(locks / f"{hashlib.sha256(str(target.resolve()).encode()).hexdigest()[:16]}.lock"):
            yield
    except OSError as error:
        what = f"{error.filename or target}: {error.strerror or error}"
        raise CatalogError(f"{what}: what is fetched cannot be kept there") from error


def record_path(target: Path) -> Path:
    """Where it is kept what was downloaded: beside the folder, so that it outlives it."""
    return target.with_name(f"{target.name}.download.json")


def _checked(archive: Path, url: str, sha256: str | None, size_bytes: int | None, target: Path) -> str:
    """The sha256 of an archive, which must be the known one, else the one that was recorded at first use."""
    digest, size = _sha256(archive), archive.stat().st_size
    if sha256 is not None and digest != sha256:
        raise Rejected(f"{archive}: sha256 {digest}, and the card says {sha256}: not the file that the card means")
    if size_bytes is not None and size != size_bytes:
        raise Rejected(f"{archive}: {size} bytes, and the card says {size_bytes}: not the file that the card means")
    recorded = _recorded(target)
    if sha256 is None and recorded.get("url") == url and recorded.get("sha256") != digest:
        raise Rejected(
            f"{archive}: sha256 {digest}, and {recorded.get('sha256')} when it was first fetched, "
            f"{recorded.get('fetched')}: its content changed; remove {record_path(target)} to trust the new one"
        )
    return digest


def _place(archive: Path, target: Path, limits: Limits) -> None:
    if is_archive(archive.name):
        unpack(archive, target, limits)
        return
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.unpacking-", dir=target.parent) as scratch:
        content = Path(scratch) / "content"
        content.mkdir()
        shutil.copyfile(archive, content / archive.name)
        content.rename(target)


def _accepted(target: Path, accept: Callable[[Path], None]) -> None:
    try:
        accept(target)
    except CatalogError:
        shutil.rmtree(target)
        raise


def _record(target: Path, url: str, digest: str, archive_is_verified: bool) -> None:
    recorded = _recorded(target)
    if recorded.get("url") == url and recorded.get("sha256") == digest:
        return
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    content = {"url": url, "sha256": digest, "verified": archive_is_verified, "fetched": now}
    replace_atomic(record_path(target), (json.dumps(content, indent=2) + "\n").encode())


def _recorded(target: Path) -> dict[str, str]:
    path = record_path(target)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path}: the record of the first download cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise CatalogError(f"{path}: not the record of a download")
    return found


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


class _NoModel(CatalogError):
    """An archive that does not hold the model that its card names."""


def _holds(card: ModelCard, file: Path, target: Path) -> None:
    try:
        find_model(card, str(target.parent))
    except CatalogError as error:
        held = ", ".join(sorted(str(path.relative_to(target)) for path in target.rglob("*"))[:20])
        raise _NoModel(
            f"{card.source.url}: there is no {card.source.inside or 'saved_model.pb'} in it; it has: {held}; "
            f"nothing of it is kept: correct source.inside in {shown(file)}"
            + (f"\n{card.remark}" if card.remark else "")
        ) from error


def _told(card: ModelCard, output_dir: Path, digest: str) -> str:
    """Where it is, and whether anybody vouches for it."""
    found = find_model(card, str(output_dir))
    place = shown(found.path) if found else output_dir / card.name
    if card.source.sha256 is not None:
        return f"{card.name} is here: {place} (sha256 verified)"
    return f"{card.name} is here: {place} (sha256 {digest}, unverified: recorded, and compared from now on)"


def _nothing_to_fetch(card: ModelCard, folder: Path) -> str:
    if card.source.path is not None:
        found = find_model(card, ".", folder=folder)
        return f"model {card.name!r} comes with its card: {shown(found.path)}"  # type: ignore[union-attr]
    ready = f"; its trained weights: {card.source.weights_url}" if card.source.weights_url else ""
    return (
        f"model {card.name!r} is not fetched: {card.source.keras_application} is built with random weights when it is "
        f"needed{ready}" + (f"\n{card.remark}" if card.remark else "")
    )
