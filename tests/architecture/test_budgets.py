"""Walls and sizes that a machine checks."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_LINES, TEST_LINES, FUNCTION_LINES = 400, 500, 60
BANNED_WORDS = ("utils", "helper", "helpers", "common", "manager", "misc")


def _sources() -> Iterator[Path]:
    for folder in ("extproc", "controller", "tests", "e2e", "bench"):
        yield from (p for p in sorted((ROOT / folder).rglob("*.py")) if not p.stem.endswith("_pb2"))


SOURCES = list(_sources())
TEST_FUNCTIONS = [
    (path, node)
    for path in SOURCES
    if path.name.startswith("test_")
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_readable(path: Path) -> None:
    """No file and no function is longer than its budget, and nobody silences a lint."""
    text = path.read_text()
    tree = ast.parse(text)
    in_tests = path.relative_to(ROOT).parts[0] in {"tests", "e2e", "bench"}
    long = [
        f"{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES
    ]

    assert long == []
    assert text.count("\n") <= (TEST_LINES if in_tests else SOURCE_LINES)
    assert "# no" + "qa" not in text


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_are_named_after_what_they_hold(path: Path) -> None:
    """No module has a name that says nothing."""
    assert path.stem not in BANNED_WORDS


@pytest.mark.parametrize(("path", "node"), TEST_FUNCTIONS, ids=[n.name for _, n in TEST_FUNCTIONS])
def test_every_test_states_its_behaviour(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Each test opens with one sentence that says what must hold."""
    sentence = ast.get_docstring(node)

    assert sentence, f"{path.name}::{node.name} has no sentence"
    assert sentence.rstrip().endswith((".", "!", "?")), f"{path.name}::{node.name}: not a sentence"


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
