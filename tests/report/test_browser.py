"""The pages as a browser shows them: Debian's chromium without a head, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from bench.compare.comparison import Comparison, Outcome, Row
from bench.compare.page import comparison_page
from bench.history.acknowledged import Acknowledged
from bench.history.index import Index
from bench.history.page import history_page
from bench.record import Check
from bench.report.comparison import compare_cases
from bench.report.html import page as run_page
from bench.report.logs import read_logs
from bench.report.plots import plots
from bench.store import load_checks, load_records
from tests.factory import make_case
from tests.history.nights import night_record, write_night
from tests.report.hostile import PAYLOADS, spoiled

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright; it comes with the extra dev")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium; apt-get install chromium")

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("run", "history", "comparison")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
READABLE, SEEN = 4.5, 3.0  # WCAG 2.2 AA: contrast of text, and of what else must be seen
Scheme = Literal["light", "dark"]

# Contrast of every text that is shown, and of every line of a plot, against what lies behind it.
CONTRASTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = parse(color).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor, alpha = parse(color)[3] ?? 1;
      if (alpha === 1) return color;
      if (alpha !== 0) throw new Error(`half transparent: ${color}`);
    }
    return "rgb(255, 255, 255)";
  };
  const ratio = (one, other) => {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, text = node.textContent.trim();
    if (!text || ["SCRIPT", "STYLE"].includes(element.tagName) || !element.checkVisibility()) continue;
    found.push(["text", text.slice(0, 40), ratio(getComputedStyle(element).color, behind(element))]);
  }
  for (const path of document.querySelectorAll("path")) {
    const style = getComputedStyle(path), color = style.stroke === "none" ? style.fill : style.stroke;
    if (path.checkVisibility()) found.push(["line", path.getAttribute("class"), ratio(color, behind(path))]);
  }
  return found;
}"""
OPEN_ALL = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
COLUMN = """([table, column]) => [...document.querySelectorAll(table + " tbody tr")].filter((row) => !row.hidden)
  .map((row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim())"""

# In how many lines each word of a text stands, put into the cells that say what a case is of.
LINES_OF_WORDS = """(title) => [...document.querySelectorAll("table.all-cases td.data")].flatMap((cell) => {
  cell.textContent = title;
  return [...title.matchAll(/[^\\s-]+-?/g)].map((word) => {
    const range = document.createRange();
    range.setStart(cell.firstChild, word.index);
    range.setEnd(cell.firstChild, word.index + word[0].length);
    return new Set([...range.getClientRects()].map((box) => box.top)).size;
  });
})"""


@dataclass
class Shown:
    """A page in a window, and what went wrong there."""

    page: Any
    wrong: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One for all tests of a process."""
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM)
        yield found
        found.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three pages, of a run that was measured, and of nights and changes made by hand."""
    folder = tmp_path_factory.mktemp("pages")
    run = sorted((ROOT / "results/reference/resnet50_explained").iterdir())[-1]
    records = load_records(run)
    checks = [*load_checks(run), Check(case_id="a", expression="b > 1", outcome="failed", explanation="b = 0")]
    compared = compare_cases([*records, *(night_record(ms, mode) for ms, mode in ((9.0, "FP16"), (30.0, "native")))])
    pictures = plots(compare_cases(records))
    texts = {
        "run": run_page("resnet50", compared, records[0].environment, pictures, "failed", checks,
                        read_logs(run, records)),
        "history": history_page(_nights(folder / "results"), (), ("median_latency_ms",), (KNOWN,)),
        "comparison": comparison_page(_changes()),
    }  # fmt: skip
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


KNOWN = Acknowledged(series="*", metric="*", run="nightly/20260121T020000Z-000014", reason="a new driver")


def _nights(results: Path) -> Index:
    """Eight series, some with a change, an outlier, or none."""
    generator = np.random.default_rng(0)
    modes = [(mode, batch) for mode in ("native", "FP32", "FP16", "INT8") for batch in (1, 8)]
    for number in range(40):
        steps = [1.1 if place % 4 == 1 and number >= 20 else 1.5 if place == 2 and number == 30 else 1.0
                 for place in range(len(modes))]  # fmt: skip
        steps[5] *= 0.9 if number >= 30 else 1.0
        records = [
            night_record(step * (10 + place) * float(np.exp(0.004 * generator.normal())), mode, **_batch(mode, batch))
            for place, ((mode, batch), step) in enumerate(zip(modes, steps, strict=True))
        ]
        write_night(results, number, records)
    return Index(results).refresh()


def _batch(mode: str, size: int) -> dict[str, Any]:
    return {"case": make_case(mode, batch_size=size)}


def _changes() -> Comparison:
    outcomes: tuple[Outcome, ...] = ("regressed", "improved", "inconclusive", "passed", "broken")
    latency = Row(
        "", "0", "median_latency_ms", "passed", "", 10.0, interval=(-0.02, 0.3), interval_of="between processes"
    )
    rows = tuple(
        replace(latency, case=f"resnet50-{n}", outcome=outcomes[n % 5], new=6.0 + n, threshold="3 %", rule="default")
        for n in range(20)
    )
    environment = (("driver", "580", "590"), ("host", "a", "b"))
    return Comparison("a", "b", rows, ("appeared",), ("vanished",), environment, ("a remark",))


@contextmanager
def show(browser: Any, path: Path, **options: Any) -> Iterator[Shown]:
    """A window with a page in it; closing it fails where the page logged, broke or fetched anything."""
    context = browser.new_context(viewport=options.pop("viewport", DESK), offline=True, **options)
    shown = Shown(context.new_page())
    shown.page.on("console", lambda message: shown.wrong.append(f"console: {message.text}"))
    shown.page.on("pageerror", lambda error: shown.wrong.append(f"error: {error}"))
    shown.page.on("dialog", lambda dialog: shown.wrong.append(f"dialog: {dialog.message}"))
    shown.page.on("request", lambda request: shown.wrong.append(request.url) if _is_foreign(request.url) else None)
    shown.page.goto(path.as_uri())
    try:
        yield shown
    finally:
        context.close()
    assert shown.wrong == []


def _is_foreign(url: str) -> bool:
    return not url.startswith(("file:", "data:"))


@pytest.fixture
def run(browser: Any, folder: Path) -> Iterator[Shown]:
    """The page of a run on a desk."""
    with show(browser, folder / "run.html") as shown:
        yield shown


@pytest.fixture(params=PAGES)
def any_page(request: pytest.FixtureRequest, folder: Path) -> Path:
    """Each page in turn."""
    return folder / f"{request.param}.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_that_is_shown_can_be_read(browser: Any, any_page: Path, scheme: Scheme) -> None:
    with show(browser, any_page, color_scheme=scheme) as shown:
        shown.page.evaluate(OPEN_ALL)
        contrasts = shown.page.evaluate(CONTRASTS)
        assert sum(kind == "text" for kind, _, _ in contrasts) > 50
        assert [each for each in contrasts if each[2] < (READABLE if each[0] == "text" else SEEN)] == []


def test_all_pictures_are_there(run: Shown) -> None:
    assert run.page.locator("main img").count() >= 3
    assert run.page.evaluate("[...document.images].every((each) => each.complete && each.naturalWidth > 100)")


def test_light_and_dark_differ(browser: Any, folder: Path) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        with show(browser, folder / "run.html", color_scheme=scheme) as shown:
            grounds[scheme] = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert grounds == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}


@pytest.mark.parametrize("script", [True, False])
def test_a_phone_scrolls_no_page_sideways(browser: Any, any_page: Path, script: bool) -> None:
    with show(browser, any_page, viewport=PHONE, java_script_enabled=script) as shown:
        if script:
            shown.page.evaluate(OPEN_ALL)
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_all_cases_break_no_word(browser: Any, folder: Path) -> None:
    """Where room is scarce, a squeezed column breaks words in their middles, and a row becomes eight lines high."""
    title = "shapes_classifier, batch size 8, shapes-classification-validation"
    with show(browser, folder / "run.html", viewport=PHONE) as shown:
        lines = shown.page.evaluate(LINES_OF_WORDS, title)
    assert lines and set(lines) == {1}


def test_columns_sort_by_number_up_down_and_back(run: Shown) -> None:
    table = "table.all-cases"
    head = run.page.locator(f"{table} thead th", has_text="median_latency_ms")
    column = head.evaluate("(cell) => cell.cellIndex")
    written = run.page.evaluate(COLUMN, [table, column])
    assert sorted(map(float, written)) != list(map(float, written)) and len(written) == 4
    upward = sorted(map(float, written))
    for order, expected in (("ascending", upward), ("descending", upward[::-1])):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        assert list(map(float, run.page.evaluate(COLUMN, [table, column]))) == expected
    head.locator("button").click()
    assert head.get_attribute("aria-sort") is None and run.page.evaluate(COLUMN, [table, column]) == written


def test_keys_sort_and_filter(browser: Any, folder: Path) -> None:
    with show(browser, folder / "history.html") as shown:
        table, page = "table.series", shown.page
        page.locator("main .controls input").first.focus()
        page.keyboard.type("FP16 tf-trt")
        assert len(page.evaluate(COLUMN, [table, 0])) == 2
        assert page.locator("main .controls output").first.inner_text() == "2 of 8"
        page.keyboard.press("Tab")  # the box, which scrolls by the arrow keys
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "series"
        page.keyboard.press("Enter")
        names = page.evaluate(COLUMN, [table, 0])
        assert names == sorted(names) and "-b1-" in names[0]
        page.keyboard.press("Space")
        assert page.evaluate(COLUMN, [table, 0]) == names[::-1]
        page.locator("main .controls input").first.fill("")
        assert len(page.evaluate(COLUMN, [table, 0])) == 8


def test_what_has_no_value_stands_last_either_way(browser: Any, folder: Path) -> None:
    with show(browser, folder / "run.html") as shown:
        head = shown.page.locator("table.all-cases thead th", has_text="throughput_fps")
        column = head.evaluate("(cell) => cell.cellIndex")
        for _ in range(2):
            head.locator("button").click()
            values = shown.page.evaluate(COLUMN, ["table.all-cases", column])
            assert values[-2:] == ["", ""] and all(values[:2])


def test_a_case_is_opened_by_its_name(run: Shown) -> None:
    place = run.page.locator("#case-1-1")
    assert not place.is_visible()
    run.page.locator("table.all-cases tbody a").first.click()
    assert place.is_visible()


def test_print_shows_all_and_no_controls(browser: Any, any_page: Path) -> None:
    with show(browser, any_page, color_scheme="dark") as shown:
        assert shown.page.locator(".controls:visible").count() > 0
        shown.page.emulate_media(media="print")
        assert shown.page.locator(".controls:visible").count() == 0
        assert shown.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        closed = shown.page.locator("details:not([open]) table")
        assert all(closed.nth(number).is_visible() for number in range(min(3, closed.count())))


def test_without_a_script_all_rows_are_there(browser: Any, any_page: Path) -> None:
    with show(browser, any_page, java_script_enabled=False) as shown:
        assert shown.page.locator(".controls, button").count() == 0
        assert shown.page.locator("main table").first.is_visible()


def test_a_browser_runs_nothing_of_what_a_record_holds(browser: Any, tmp_path: Path) -> None:
    text = "x" + "".join(PAYLOADS)
    run = sorted((ROOT / "results/reference/resnet50_explained").iterdir())[-1]
    records = [spoiled(record, text) for record in load_records(run)]
    path = tmp_path / "page.html"
    path.write_text(run_page(text, compare_cases(records), records[0].environment, {}, text), encoding="utf-8")
    with show(browser, path) as shown:
        shown.page.evaluate(OPEN_ALL)
        assert shown.page.evaluate("document.scripts.length") == 1
        assert shown.page.locator("img, base, iframe, object, embed, form").count() == 0
