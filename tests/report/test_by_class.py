"""A detector's classes in the report: all of them, and those that a mode changed most."""

from __future__ import annotations

from bench.record import Accuracy, Record
from bench.report.by_class import all_classes, changed_classes
from bench.report.comparison import compare_cases
from bench.report.html import page
from bench.report.tables import markdown, rich_tables
from tests.factory import make_record

CLASSES = {"cat": 0.5, "dog": 0.5, "*|bus": 0.25, "tram": 0.125, "kite": 0.75}


def modes(**changes: dict[str, float]) -> list[Record]:
    """Native and others, each with what it changes in some classes."""
    found = {"native": CLASSES} | {
        mode: {name: value + changed.get(name, 0) for name, value in CLASSES.items()}
        for mode, changed in changes.items()
    }
    return [
        make_record(mode, accuracy=Accuracy(metrics={"map": 0.4}, num_images=9, per_class=per_class))
        for mode, per_class in found.items()
    ]


def rows(records: list[Record], most: int = 5) -> list[tuple[str, ...]]:
    (comparison,) = compare_cases(records)
    return [row for listing in changed_classes(comparison.columns, most) for row in listing.rows]


def test_losses_come_first_then_gains_and_what_stayed_is_left_out() -> None:
    found = rows(modes(FP16={"dog": -0.25, "kite": 0.125}, INT8={"cat": -0.5, "dog": 0.0625}))
    assert found == [
        ("cat", "0.5000", "0.5000 (0)", "0 (-0.5000)"),
        ("dog", "0.5000", "0.2500 (-0.2500)", "0.5625 (+0.0625)"),
        ("kite", "0.7500", "0.8750 (+0.1250)", "0.7500 (0)"),
    ]


def test_the_table_is_bounded_and_says_how_many_changed() -> None:
    records = modes(INT8={"cat": -0.5, "dog": -0.25, "tram": 0.125, "kite": 0.0625})
    assert [row[0] for row in rows(records, most=1)] == ["cat", "tram"]
    (listing,) = changed_classes(compare_cases(records)[0].columns, 1)
    assert "4 of 5 classes changed" in listing.gist


def test_without_a_native_case_or_a_change_or_classes_there_is_no_table() -> None:
    assert rows(modes()) == rows(modes(INT8={})) == rows(modes(INT8={"cat": 0.5})[1:]) == []
    assert rows([make_record("native"), make_record("INT8")]) == []


def test_a_broken_case_has_no_classes() -> None:
    (comparison,) = compare_cases(modes(INT8={"cat": -0.5}, FP16={"dog": 0.25}), lambda record: (
        "not INT8" if record.case.optimization.precision_mode == "INT8" else None
    ))  # fmt: skip
    (listing,) = changed_classes(comparison.columns, 5)
    assert listing.head[0] == "class" and len(listing.head) == 3 and [row[0] for row in listing.rows] == ["dog"]


def test_the_page_holds_every_class_even_of_a_native_case_alone() -> None:
    (listing,) = all_classes(compare_cases(modes())[0].columns)
    assert [row[0] for row in listing.rows] == ["tram", "*|bus", "cat", "dog", "kite"]
    assert listing.gist == "5 classes; the lowest first; no intervals"
    assert "tram" in page("run", compare_cases(modes())) and "tram" not in markdown(compare_cases(modes()), None)


def test_of_all_classes_those_that_lost_most_come_first() -> None:
    (listing,) = all_classes(compare_cases(modes(INT8={"kite": -0.25, "dog": -0.125, "tram": 0.125}))[0].columns)
    assert [row[0] for row in listing.rows] == ["kite", "dog", "tram", "*|bus", "cat"]
    assert listing.rows[2] == ("tram", "0.1250", "0.2500 (+0.1250)") and "3 of 5 changed" in listing.gist
    assert not all_classes(compare_cases([make_record("native")])[0].columns)


def test_it_is_in_the_page_and_in_markdown_and_not_on_the_screen() -> None:
    comparisons = compare_cases(modes(INT8={"*|bus": -0.125}))
    text = markdown(comparisons, None)
    assert "| \\*\\|bus | 0.2500 | 0.1250 (-0.1250) |" in text
    assert "0.1250 (-0.1250)" in page("run", comparisons)
    from rich.console import Console

    console = Console(width=200, record=True, quiet=True)
    console.print(rich_tables(comparisons))
    assert "bus" not in console.export_text()
