"""The bundled table of Gemini models."""

import re

import pytest

from extproc.dialects.gemini.models import FAMILIES, bare_model_id, capabilities_of


@pytest.mark.parametrize(
    ("model", "reasoning", "efforts", "budget"),
    [
        ("gemini-3-pro-preview", "level", ("low", "high"), None),
        ("gemini-3-flash-preview", "level", ("minimal", "low", "medium", "high"), None),
        ("gemini-3.1-pro-preview", "level", ("low", "medium", "high"), None),
        ("gemini-3.1-flash-lite", "level", ("minimal", "low", "medium", "high"), None),
        ("gemini-3.5-flash", "level", ("minimal", "low", "medium", "high"), None),
        ("gemini-3.5-flash-lite", "level", ("minimal", "low", "medium", "high"), None),
        ("gemini-3.6-flash", "level", ("minimal", "low", "medium", "high"), None),
        ("gemini-3.7-flash", "level", ("low", "medium", "high"), None),
        ("gemini-3.8-flash", "level", ("low", "medium", "high"), None),
        ("gemini-flash-latest", "level", ("low", "medium", "high"), None),
        ("gemini-pro-latest", "level", ("low", "medium", "high"), None),
        ("gemini-2.5-pro", "budget", (), (128, 32768)),
        ("gemini-2.5-flash", "budget", (), (1, 24576)),
        ("gemini-2.5-flash-lite-preview-09-2025", "budget", (), (512, 24576)),
        ("gemini-2.0-flash-001", "none", (), None),
        ("gemini-1.5-pro-002", "none", (), None),
        ("gemini-pro", "none", (), None),
        ("1234567890", "none", (), None),
    ],
)
def test_how_models_think(model: str, reasoning: str, efforts: tuple[str, ...], budget: tuple[int, int] | None) -> None:
    """Levels from the third generation on, budgets at 2.5, and nothing before."""
    known = capabilities_of(model)

    assert (known.reasoning, known.efforts, known.budget_range) == (reasoning, efforts, budget)
    assert known.maker == "google"


@pytest.mark.parametrize(
    ("model", "generation"),
    [("gemini-3-flash-preview", 3), ("gemini-4-ultra", 3), ("gemini-2.5-flash", 2.5), ("gemini-2.0-flash", 2)],
)
def test_what_each_generation_brought(model: str, generation: float) -> None:
    """Signatures are given from 2.5 on and checked from 3 on; JSON Schema is taken from 2.5 on."""
    known = capabilities_of(model)

    assert known.checks_signatures is known.call_ids is known.media_in_tool_results is (generation >= 3)
    assert known.image_detail is known.format_with_tools is (generation >= 3)
    assert known.thinking_blocks is known.json_schema_tools is (generation >= 2.5)


@pytest.mark.parametrize(
    "name",
    ["gemini-2.5-pro", "models/gemini-2.5-pro", "google/gemini-2.5-pro", "publishers/google/models/gemini-2.5-pro"],
)
def test_one_model_under_all_its_names(name: str) -> None:
    """What stands before the maker's own id does not matter."""
    assert bare_model_id(name) == "gemini-2.5-pro"
    assert capabilities_of(name) == capabilities_of("gemini-2.5-pro")


def test_every_family_is_reached() -> None:
    """A family that an earlier one hides would be a riddle."""
    models = ("2.5-pro", "2.5-flash-lite", "2.5-flash", "2.0-flash", "3-pro", "3-flash", "9")
    first = [next(family for family in FAMILIES if re.match(family.pattern, f"gemini-{model}")) for model in models]

    assert first == list(FAMILIES)
