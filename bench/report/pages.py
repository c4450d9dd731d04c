"""HTML pages out of templates: each one whole in itself, with nothing from outside taken as markup.

Every text that a template shows loses control characters and is escaped. The page's policy names our own style and
script by their hashes, so that a browser would run no other even if one came in, and fetches nothing.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.report.figures import plain

FOLDER = Path(__file__).parent
GOOD = ("passed", "improved")
BAD = ("failed", "regressed", "broken")


def render(template: str, **values: object) -> str:
    """The page of one of the templates beside this file."""
    style, script = _own("page.css"), _own("page.js")
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src {_hash(style)}; script-src {_hash(script)}"
    )
    return _templates().get_template(template).render(style=style, script=script, policy=policy, **values)


@cache
def _templates() -> Templates:
    templates = Templates(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["tone"] = tone
    return templates


def tone(word: str) -> str:
    """How a verdict or outcome is coloured, beside being said in words."""
    first = word.partition(" ")[0].strip(".,:;").lower()
    return "good" if first in GOOD else "bad" if first in BAD else "open"


def _clean(value: object) -> object:
    """What is put into a page; markup is made by templates and by us alone."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _own(name: str) -> Markup:
    return Markup((FOLDER / name).read_text(encoding="utf-8"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
