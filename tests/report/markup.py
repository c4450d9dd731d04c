"""A page read back: its elements, attributes and text."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input"}
PLACES = ("src", "href", "srcset", "action", "xlink:href")  # attributes that name a place to fetch or to go to


class Reader(HTMLParser):
    """Collects tags, what they refer to, and text; notices tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.elements: list[tuple[str, tuple[str, ...]]] = []  # with the names of their attributes
        self.references: list[str | None] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.references += [value for name, value in attrs if name in PLACES]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All of it on one line."""
        return " ".join(" ".join(self.texts).split())
