"""Addresses that files are fetched from, and their checksums, as cards have them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

SCHEMES = ("http", "https")
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")  # what is unpacked, by its name's end
NO_FILES = ("", "..")  # as the last part of an address


def file_name(url: str) -> str:
    """The name of the file that an address gives."""
    return PurePosixPath(unquote(urlsplit(url).path)).name


def bare_name(url: str) -> str:
    """The same less the suffix of an archive."""
    name = file_name(url)
    ends = [suffix for suffix in ARCHIVES if name.lower().endswith(suffix) and name.lower() != suffix]
    return name[: -len(max(ends, key=len))] if ends else name


def _fetchable(url: str) -> str:
    try:
        is_one = urlsplit(url).scheme in SCHEMES and bool(urlsplit(url).hostname) and file_name(url) not in NO_FILES
    except ValueError:  # of brackets that are not those of an IPv6 address
        is_one = False
    if is_one:
        return url
    raise PydanticCustomError("url", "not the address of a file: http:// or https://, and a name at the end")


Url = Annotated[str, AfterValidator(_fetchable), Field(json_schema_extra={"pattern": "^https?://[^/]+/"})]
Sha256 = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$"), AfterValidator(str.lower)]  # Windows prints upper case
