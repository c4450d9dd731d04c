"""Assertions: expressions over a case's statistics, parsed into a tiny language. Nothing is ever run as Python.

    map >= native.map - 0.005        a statistic, and the native case's
    speedup >= 1.3 and fallbacks == 0
    statistics['map'] > (0.268 - 0.005)      the original examples' spelling

Numbers, statistics, + - * /, comparisons, and, or, not, and abs, min, max: that is all there is.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from bench.case import Case
from bench.errors import ConfigError, nearest
from bench.load.statistics import NO_LIMIT, NOT_VALID
from bench.load.statistics import can_have as load_can_have
from bench.record import Check, Record
from bench.statistics.metrics import METRICS, RELATIVE
from bench.statistics.possible import can_have
from bench.statistics.summary import NO_NATIVE, Summary, summarize

Outcome = Literal["passed", "failed", "inconclusive"]

OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
FUNCTIONS: Mapping[str, Callable[..., Any]] = {"abs": abs, "min": min, "max": max}
STRUCTURE = (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.boolop, ast.expr_context)
LONGEST = 500
SLIPS = {  # by a pattern: what is written in its place
    r"(?<![<>=!])=(?!=)": "`==` for equal",
    r"&&|\|\|": "`and` for &&, `or` for ||",
    r"!(?!=)": "`not` for !",
    r"%": "a share as a fraction, such as 0.01 for 1 %",
}
UNTOLD = (NO_NATIVE, "samples of the", NOT_VALID, NO_LIMIT)  # in a reason: the statistic might hold, or not


def parse_assertion(expression: str, source: str) -> ast.expr:
    """The expression's tree; an error that names `source` for anything outside the language or an unknown statistic."""
    if len(expression) > LONGEST:  # nested too deeply, it would exhaust the stack
        raise ConfigError(f"{source}: longer than {LONGEST} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except SyntaxError as error:
        raise ConfigError(f"{source}: {expression!r}: not an expression: {_slip(expression, error)}") from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise ConfigError(f"{source}: {expression!r}: not an expression: {error}") from error
    for node in _walk(tree):
        _check(node, expression, source)
    if not _is_condition(tree):
        raise ConfigError(f"{source}: {expression!r}: compares nothing; write a condition such as `top1 >= 0.9`")
    return tree


def _slip(expression: str, error: SyntaxError) -> str:
    """What is wrong with it: another language's operators, by the one to write; else Python's words."""
    for found, written in SLIPS.items():
        if re.search(found, expression):
            return f"write {written}"
    return f"{error.msg}; write a condition such as `top1 >= 0.9`"


def check_assertion(expression: str, record: Record, native: Record | None) -> Check | None:
    """The outcome for one case; None where the expression is about something this case cannot have."""
    tree = parse_assertion(expression, "assertions")
    wanted = set(_names(tree))
    if _is_about_others(wanted, record):
        return None
    mine = summarize(record, native)
    theirs = summarize(native) if native is not None else None
    values: dict[str, float] = {}
    for name in sorted(wanted):
        summary = theirs if name.startswith("native.") else mine
        plain = name.removeprefix("native.")
        if summary is None or plain not in summary.values:
            why = _why_absent(plain, summary, native)
            outcome: Outcome = "inconclusive" if any(words in why for words in UNTOLD) else "failed"
            return _checked(record.case.id, expression, outcome, f"{name}: {why}")
        values[name] = summary.values[plain]
    return _judge(tree, values, record.case.id, expression)


def without_load(expression: str, cases: Sequence[Case]) -> str | None:
    """A statistic of load tests that the expression names and no case will have; None if there is none."""
    names = {name.removeprefix("native.") for name in statistics_of(expression)}
    return next((name for name in sorted(names) if not any(load_can_have(name, case.load) for case in cases)), None)


def statistics_of(expression: str) -> set[str]:
    """The statistics that an expression names, the native case's as native.NAME."""
    return set(_names(parse_assertion(expression, "assertions")))


def _judge(tree: ast.expr, values: Mapping[str, float], case_id: str, expression: str) -> Check:
    seen = ", ".join(f"{name} = {value:.6g}" for name, value in values.items())
    try:
        outcome: Outcome = "passed" if _evaluate(tree, values) else "failed"
    except ArithmeticError as error:
        return _checked(case_id, expression, "failed", f"{seen}: {error}")
    return _checked(case_id, expression, outcome, seen)


def _checked(case_id: str, expression: str, outcome: Outcome, explanation: str) -> Check:
    return Check(case_id=case_id, expression=expression, outcome=outcome, explanation=explanation)


def _why_absent(name: str, summary: Summary | None, native: Record | None) -> str:
    if summary is None or (native is None and name in RELATIVE):
        return NO_NATIVE
    return summary.absent.get(name, "not measured")


def _is_about_others(wanted: set[str], record: Record) -> bool:
    """Whether the expression names statistics that a case of this task and backend never has."""
    native = record.case.optimization.precision_mode == "native"
    if native and any(name.startswith("native.") for name in wanted):
        return True
    return not all(can_have(name.removeprefix("native."), record.case) for name in wanted)


def _walk(tree: ast.expr) -> Iterator[ast.AST]:
    """All nodes but the parts of names, which are checked as a whole."""
    yield tree
    if isinstance(tree, ast.Attribute | ast.Subscript):
        return
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.expr):
            if not (isinstance(tree, ast.Call) and child is tree.func):
                yield from _walk(child)
        else:
            yield child


def _check(node: ast.AST, expression: str, source: str) -> None:
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        name = _name(node)
        plain = None if name is None else name.removeprefix("native.")
        if plain not in METRICS:
            shown = ast.unparse(node)
            hint = nearest(plain or shown, METRICS) or f"; known: {', '.join(METRICS)}"
            raise ConfigError(f"{source}: {expression!r}: unknown statistic {shown!r}{hint}")
    elif isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords:
            raise ConfigError(f"{source}: {expression!r}: {ast.unparse(node.func)!r} is not allowed in an assertion")
        if (len(node.args) == 1) != (node.func.id == "abs") or not node.args:
            raise ConfigError(f"{source}: {expression!r}: abs takes one argument, min and max take two or more")
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise ConfigError(f"{source}: {expression!r}: {ast.unparse(node)} is not a number")
    elif not isinstance(node, STRUCTURE) and type(node) not in OPERATORS:
        what = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
        raise ConfigError(f"{source}: {expression!r}: {what!r} is not allowed in an assertion")


def _name(node: ast.AST) -> str | None:
    """`map`, `native.map`, `statistics['map']` as a statistic's name; None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "native":
        return f"native.{node.attr}"
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "statistics":
        key = node.slice
        return key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None
    return None


def _names(tree: ast.expr) -> Iterator[str]:
    for node in _walk(tree):
        name = _name(node)
        if name is not None:
            yield name


def _is_condition(tree: ast.expr) -> bool:
    if isinstance(tree, ast.BoolOp):
        return all(_is_condition(value) for value in tree.values)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
        return _is_condition(tree.operand)
    return isinstance(tree, ast.Compare)


def _evaluate(node: ast.expr, values: Mapping[str, float]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp):
        return OPERATORS[type(node.op)](_evaluate(node.operand, values))
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](_evaluate(node.left, values), _evaluate(node.right, values))
    if isinstance(node, ast.BoolOp):
        return _either_or_both(node, values)
    if isinstance(node, ast.Compare):
        return _compare(node, values)
    if isinstance(node, ast.Call):
        return FUNCTIONS[ast.unparse(node.func)](*(_evaluate(argument, values) for argument in node.args))
    return values[_name(node) or ""]


def _either_or_both(node: ast.BoolOp, values: Mapping[str, float]) -> Any:
    """An operand itself, as in Python: `(map or top1) > 0.5` compares a number."""
    for value in node.values:
        outcome = _evaluate(value, values)
        if bool(outcome) == isinstance(node.op, ast.Or):
            break
    return outcome


def _compare(node: ast.Compare, values: Mapping[str, float]) -> bool:
    """Term by term, and as in Python no further than the first that does not hold."""
    left = _evaluate(node.left, values)
    for op, term in zip(node.ops, node.comparators, strict=True):
        right = _evaluate(term, values)
        if not OPERATORS[type(op)](left, right):
            return False
        left = right
    return True
