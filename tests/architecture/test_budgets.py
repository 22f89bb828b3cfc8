"""Walls and sizes that a machine checks."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_LINES, TEST_LINES, FUNCTION_LINES = 400, 500, 60
BANNED_WORDS = ("utils", "helper", "helpers", "common", "manager", "misc")


def _sources() -> Iterator[Path]:
    for folder in ("extproc", "controller", "tests", "e2e", "bench"):
        yield from (p for p in sorted((ROOT / folder).rglob("*.py")) if not p.stem.endswith("_pb2"))


SOURCES = list(_sources())
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, FUNCTIONS)]


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def test_files_and_functions_stay_readable() -> None:
    """No file and no function is longer than its budget, and no module has a name that says nothing."""
    faults = []
    for path in SOURCES:
        text, shown = path.read_text(), str(path.relative_to(ROOT))
        limit = TEST_LINES if shown.startswith(("tests/", "e2e/", "bench/")) else SOURCE_LINES
        if text.count("\n") > limit:
            faults.append(f"{shown}: {text.count(chr(10))} lines, over {limit}")
        if path.stem in BANNED_WORDS:
            faults.append(f"{shown}: the name says nothing")
        faults += [
            f"{shown}: {node.name} has {_lines(node)} lines, over {FUNCTION_LINES}"
            for node in _functions(path)
            if _lines(node) > FUNCTION_LINES
        ]

    assert faults == []


def test_nobody_silences_a_lint() -> None:
    """A lint that complains is a design question: there is no marker that turns one off for a line."""
    markers = ("# no" + "qa", "# ty" + "pe: ignore", "# pra" + "gma: no cover")

    assert [
        f"{path.relative_to(ROOT)}: {marker}" for path in SOURCES for marker in markers if marker in path.read_text()
    ] == []


def test_every_test_states_its_behaviour() -> None:
    """Each test opens with a sentence that says what must hold."""
    silent = []
    for path in SOURCES:
        if path.name.startswith("test_"):
            silent += [
                f"{path.relative_to(ROOT)}::{node.name}"
                for node in _functions(path)
                if node.name.startswith("test_")
                and not (ast.get_docstring(node) or "").rstrip().endswith((".", "!", "?"))
            ]

    assert silent == []


@pytest.mark.parametrize(
    ("module", "strangers"),
    [
        ("extproc.config.schema", ("grpc", "kopf", "kubernetes", "uvloop", "prometheus_client")),
        ("extproc.exchange.machine", ("grpc", "kopf", "kubernetes", "uvloop", "prometheus_client", "asyncio")),
        ("controller.translate", ("grpc", "kopf", "kubernetes", "click", "envoy", "asyncio")),
    ],
)
def test_a_room_loads_without_strangers(module: str, strangers: tuple[str, ...]) -> None:
    """Importing a pure room brings in none of the libraries that belong to the edges."""
    code = f"import sys, {module}; print(sorted(set({strangers!r}) & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "[]"
