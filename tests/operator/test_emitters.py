"""Every reason that the documentation explains can be met."""

import ast
from functools import cache
from pathlib import Path

import pytest

from controller.api.reasons import MEANINGS, Reason

CONTROLLER = Path(__file__).parents[2] / "controller"


@cache
def used() -> set[str]:
    """The names of the reasons that the code refers to, other than where they are explained."""
    return {
        node.attr
        for path in CONTROLLER.rglob("*.py")
        if path.name != "reasons.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason"
    }


@pytest.mark.parametrize("reason", list(Reason))
def test_a_reason_has_an_emitter(reason: Reason) -> None:
    """One that nothing says is a promise of the documentation that is not kept."""
    assert reason.name in used()
    assert reason in MEANINGS
