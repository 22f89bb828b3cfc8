import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.config.errors import ConfigError
from extproc.config.yaml_reader import MAX_ALIASED, read_yaml
from tests.support.plain_yaml import VALUES


@settings(deadline=None)
@given(VALUES, st.sampled_from([None, False, True]))
def test_what_yaml_writes_is_read_back(value: Any, flow: bool | None) -> None:
    """Every value that PyYAML emits, in block and flow style, is read as it was; quoting decides what is text."""
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow)

    assert read_yaml(text) == (value, ())


@settings(deadline=None)
@given(VALUES)
def test_json_is_read_as_json(value: Any) -> None:
    """JSON is YAML: the same text gives the same value."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False) if "Infinity" not in json.dumps(value) else "null"

    assert read_yaml(text)[0] == json.loads(text)


@settings(deadline=None)
@given(st.text(st.sampled_from("ab:{}[],&*!|>'\"#%@-? \n\t\x00<\u2028"), max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but a value or a ConfigError comes out, whatever the text, and the lines do not change which."""
    assert _outcome(text, None) == _outcome(text, {})


def _outcome(text: str, lines: dict[str, int] | None) -> Any:
    try:
        return read_yaml(text, lines)
    except ConfigError as error:
        return [str(finding) for finding in error.findings]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("-5", -5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.INF", float("-inf")),
        ("TRUE", True),
        ("tRue", "tRue"),
        ("~", None),
        ("", None),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("'5'", "5"),
        ("|\n 5\n", "5\n"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: Any) -> None:
    """A plain scalar is a number, a boolean or nothing only where YAML 1.2 says so; all else is text."""
    read = read_yaml(text)[0]

    assert (read, type(read)) == (value, type(value))


def test_aliases_share_a_value() -> None:
    """An alias stands for its anchor's value, of a list, a mapping or a scalar, even one that is a key."""
    text = "a: &list [1, &name x]\nb: *list\n&key c: *name\nd: *key"

    assert read_yaml(text) == ({"a": [1, "x"], "b": [1, "x"], "c": "x", "d": "c"}, ())


def test_an_anchor_may_be_given_again() -> None:
    """The last anchor of a name counts."""
    assert read_yaml("[&a 1, &a 2, *a]")[0] == [1, 2, 2]


def test_multiplying_aliases_are_refused() -> None:
    """Nine lists of nine aliases each would stand for nine to the ninth values; reading stops long before."""
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))

    with pytest.raises(ConfigError, match=f"aliases stand for more than {MAX_ALIASED:,} values, line 6"):
        read_yaml(text)


def test_a_flood_of_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with more values than configuration has is not read to its end."""
    monkeypatch.setattr("extproc.config.yaml_reader.MAX_VALUES", 1000)

    assert read_yaml("- 0\n" * 999)[0] == [0] * 999
    with pytest.raises(ConfigError, match="line 1000: more than 1,000 values"):
        read_yaml("- 0\n" * 1000 + "- [")


def test_every_part_has_its_line() -> None:
    """Fields and list entries are found by path, in the line where they begin."""
    lines: dict[str, int] = {}
    read_yaml("rules:\n- name: a\n  backends:\n  - {x: 1}\n  -\n    y: 2\n'odd key':\n  z: 1\n", lines)

    assert lines == {
        "rules": 1,
        "rules[0]": 2,
        "rules[0].name": 2,
        "rules[0].backends": 3,
        "rules[0].backends[0]": 4,
        "rules[0].backends[0].x": 4,
        "rules[0].backends[1]": 6,
        "rules[0].backends[1].y": 6,
        '["odd key"]': 7,
        '["odd key"].z': 8,
    }
