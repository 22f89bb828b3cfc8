import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from extproc.config.errors import ConfigError, Finding, MisfitError, nearest, quoted, render_path
from extproc.config.loader import load
from extproc.config.schema import Config
from extproc.config.shape import PATTERN_MEANINGS
from extproc.routing.index import compile_index

GOOD = (
    b'{"version":1,"backends":[{"name":"a","outputSchema":{"schema":"OpenAI"},"capabilities":{"promptCache":true}}],'
    b'"rules":[{"matches":[{"headers":[{"name":"x","value":"y.*","type":"RegularExpression"}]}],'
    b'"backends":[{"name":"a","weight":2}]}]}'
)

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def aliases(schema: dict[str, Any]) -> Iterator[str]:
    """The names of all fields of the file."""
    for shape in (schema, *schema["$defs"].values()):
        yield from shape["properties"]


FIELDS = sorted(set(aliases(Config.model_json_schema())))
LEAVES = st.sampled_from([None, True, 0, -1, 1.5, 2**60, "", "x", "OpenAI", "Exact", "RegularExpression", "(", "\0"])
PARTS = st.recursive(
    LEAVES,
    lambda part: st.lists(part, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), part, max_size=4),
    max_leaves=12,
)


Loc = tuple[str | int, ...]


def outcome(data: bytes) -> tuple[Finding, ...]:
    """What is found in a file; nothing when it can be served."""
    try:
        compile_index(load(data))
    except ConfigError as error:
        return error.findings
    return ()


def slots(value: Any, loc: Loc = ()) -> Iterator[Loc]:
    """Where something stands in a value."""
    yield loc
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from slots(part, (*loc, key))


def with_part(value: Any, loc: Loc, part: Any) -> Any:
    """A value in which another part stands at ``loc``."""
    if not loc:
        return part
    if isinstance(value, dict):
        return {**value, loc[0]: with_part(value[loc[0]], loc[1:], part)}
    return [with_part(old, loc[1:], part) if i == loc[0] else old for i, old in enumerate(value)]


@patient
@given(st.binary(max_size=200))
@example(b"\x1f\x8b\x08")
@example(b"{" * 3000)
def test_any_bytes_load_or_are_refused(data: bytes) -> None:
    """No bytes bring out anything but a configuration or its findings."""
    outcome(data)


@patient
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=2), st.integers(0, 3))
def test_a_damaged_file_loads_or_is_refused(at: int, noise: bytes, lost: int) -> None:
    """Nor does a good file in which some bytes changed."""
    outcome(GOOD[:at] + noise + GOOD[at + lost :])


@patient
@given(st.sampled_from(list(slots(json.loads(GOOD)))), PARTS)
def test_wrong_values_have_plain_reasons(loc: Loc, part: Any) -> None:
    """Whatever stands at a field, the reason is ours, in one line, and its path leads there or to what refers to it."""
    for finding in outcome(json.dumps(with_part(json.loads(GOOD), loc, part)).encode()):
        assert finding.path.startswith(render_path(loc)) or finding.path in {"", "rules[0].backends[0].name"}
        assert "nput should" not in finding.reason
        assert str(finding).isprintable()


def test_every_pattern_of_the_schema_is_explained() -> None:
    """A value that a pattern refuses is told what it should be in words."""
    schema = json.dumps(Config.model_json_schema())

    assert [p for p in PATTERN_MEANINGS if json.dumps(p) not in schema] == []
    assert schema.count('"pattern": ') == sum(schema.count(f'"pattern": {json.dumps(p)}') for p in PATTERN_MEANINGS)


def test_paths_are_one_readable_line() -> None:
    """Plain keys stand bare, others in quotes, positions in brackets, long keys shortened."""
    assert render_path(()) == ""
    assert render_path(("rules", 0, "backends", 11, "outputSchema")) == "rules[0].backends[11].outputSchema"
    assert render_path(("a", "b c", "\n", "")) == 'a["b c"]["\\n"][""]'
    assert render_path((0, "k" * 100)) == f"[0].{'k' * 61}..."


def test_findings_order_positions_as_numbers() -> None:
    """Position 9 comes before position 10, and a finding that is told twice is kept once."""
    paths = ["rules[10].name", "rules[9].name", "rules[9]", "", "rules[9].name"]

    assert [f.path for f in ConfigError(Finding(p, "is wrong") for p in paths).findings] == [
        "",
        "rules[9]",
        "rules[9].name",
        "rules[10].name",
    ]


def test_a_finding_says_where_what_and_what_else() -> None:
    """Path, reason, suggestion and line, each only when known."""
    assert str(Finding("", "is empty")) == "is empty"
    assert str(Finding("", "is odd", line=3)) == "line 3: is odd"
    assert str(Finding("a.b", "is odd", "even", 3)) == 'a.b: is odd (did you mean "even"?), line 3'


def test_a_misfit_is_told_from_where_it_stands() -> None:
    """The paths of a part's findings are read from the part on."""
    assert [str(Finding(path, "is odd").below("rules[1]")) for path in ("", "name", "[0]")] == [
        "rules[1]: is odd",
        "rules[1].name: is odd",
        "rules[1][0]: is odd",
    ]
    assert str(MisfitError(Finding("a", "is odd"), Finding("", "too"))) == "a: is odd; too"


def test_the_nearest_word_ignores_case_and_separators() -> None:
    """Other spellings of a word are near, other words are not."""
    known = ["outputSchema", "modelNameOverride", "weight"]

    assert [nearest(w, known) for w in ("output_schema", "OUTPUT-SCHEMA", "modelName", "wait", "colour")] == [
        "outputSchema",
        "outputSchema",
        "modelNameOverride",
        "weight",
        None,
    ]


def test_quoted_values_are_short_and_safe() -> None:
    """A message shows at most 64 characters of a value, and never a control character or half a pair."""
    assert quoted("a\n\ud800é") == '"a\\n\\ud800\\u00e9"'
    assert len(quoted("x" * 1000)) == 66
