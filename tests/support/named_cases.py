"""The eighty named cases of the vendor notes, and the tests that carry their names."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

from tests.support.field_report import DOCS, GENERATED, table
from tests.support.matrix import ROOT

TESTS = Path(__file__).parents[1]

#: Of the two notes: name -> what must hold.
TITLES = {"messages": "OpenAI and Anthropic", "clouds": "Bedrock, Gemini, Azure, hosted Anthropic"}


@cache
def cases() -> dict[str, dict[str, str]]:
    """The cases of each note."""
    told: dict[str, dict[str, str]] = yaml.safe_load((ROOT / "cases.yaml").read_text())
    return told


@cache
def shown_by() -> dict[str, list[str]]:
    """Each case with the tests whose name or docstring carries it, as ``file::function``."""
    found: dict[str, list[str]] = {case: [] for note in cases().values() for case in note}
    for path in sorted(TESTS.rglob("test_*.py")):
        for function in _functions(path):
            words = f"{function.name} {ast.get_docstring(function) or ''}".replace("_", "-")
            for case, tests in found.items():
                if case.replace("_", "-") in words:
                    tests.append(f"{path.relative_to(TESTS)}::{function.name}")
    return found


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node


def page() -> dict[Path, str]:
    """The generated page by its place."""
    shown = shown_by()
    parts = [_HEAD]
    for note, title in TITLES.items():
        rows = [
            (str(number), case, holds, "<br>".join(f"`{test}`" for test in shown[case]))
            for number, (case, holds) in enumerate(cases()[note].items(), 1)
        ]
        parts.append(f"## {title}\n\n{table(('#', 'case', 'must hold', 'tests'), rows)}")
    return {DOCS / "cases.md": "\n".join(parts)}


_HEAD = f"""{GENERATED}
# Named cases

What was learnt from the vendors' documents, their SDKs and other gateways' bugs, as cases with names. A test shows a
case when its name or its docstring carries the name.
"""
