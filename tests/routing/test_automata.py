from random import Random

import pytest
import re2

from extproc.config.errors import ConfigError
from extproc.config.patterns import maybe_pattern_fault, pattern_options
from extproc.routing.automata import PatternSet
from tests.support.routing_configs import index_of, name_of, route_of

#: Patterns whose combined states are many: the hard case of an automaton for all.
ENTANGLED = [f".*{i % 10}.*{i * 7 % 10}{i % 3}.*x{i % 4}.*" for i in range(60)]


@pytest.mark.parametrize("budget", [None, 1 << 20, 48 << 10, 8 << 10, 1])
def test_an_automaton_answers_as_its_patterns_do(budget: int | None) -> None:
    """Whole, in parts because memory is short, or each on its own: the same patterns match."""
    random, singles = Random(7), [re2.compile(p, pattern_options()) for p in ENTANGLED]
    automaton, found = PatternSet(ENTANGLED, budget), 0
    for _ in range(100):
        text = "".join(random.choice("0123456789x") for _ in range(random.randrange(2, 60)))
        expected = [i for i, single in enumerate(singles) if single.fullmatch(text)]
        found += len(expected)

        assert sorted(automaton.matching(text.encode())) == expected

    assert found > 20


def test_patterns_match_whole_texts_only() -> None:
    """Alternatives too, and a line's end is the text's end."""
    automaton = PatternSet(["a|bc", "a.*", "(?s)a.*", "a$"])

    assert [sorted(automaton.matching(t)) for t in (b"a", b"bc", b"abc", b"a\n", b"xa", b"")] == [
        [0, 1, 2, 3],
        [0],
        [1, 2],
        [2],
        [],
        [],
    ]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a*)*b", "(.*a){20}b", "(a|a?)+$"])
def test_no_pattern_can_stall_the_processor(pattern: str) -> None:
    """Patterns that take a backtracking engine longer than the universe lasts are answered, on the longest texts."""
    rule = f"rules: [{{name: r, headers: [{{name: NAME, value: '{pattern}', type: RegularExpression}}]}}]"
    model, header = "a" * 4095 + "!", "a" * 60_000 + "!"

    assert route_of(rule.replace("NAME", "x-ai-eg-model"), model) is None
    assert route_of(rule.replace("NAME", "x-a"), headers={"x-a": header}) is None


def test_overlapping_patterns_go_by_precedence() -> None:
    """Where several patterns match, the order of the rules decides, and other conditions still count."""
    text = "rules:\n" + "".join(
        f"- {{name: r{i}, headers: [{{name: x-ai-eg-model, value: '{p}', type: RegularExpression}}]{more}}}\n"
        for i, (p, more) in enumerate(
            [("gpt-5.*", ", hostnames: [h]"), (".*-mini", ""), ("gpt-.*", ""), ("gpt-5.*", ""), (".*", "")]
        )
    )

    assert [name_of(route_of(text, m)) for m in ("gpt-5", "gpt-5-mini", "o3-mini", "o3")] == ["r2", "r1", "r1", "r4"]
    assert [name_of(route_of(text, m, host="h")) for m in ("gpt-5", "o3")] == ["r0", "r4"]


def test_a_bad_pattern_is_refused_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    """RE2's own reports to stderr are off: the finding says it."""
    with pytest.raises(ConfigError):
        index_of("rules: [{headers: [{name: x, value: '(', type: RegularExpression}]}]")

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("gpt-(4|5).*", None),
        ("(?i)GPT.*", None),
        (r"[\w.:/-]{1,256}", None),
        ("a" * 4096, None),
        ("[", "missing ]: ["),
        ("*", "no argument for repetition operator: *"),
        (r"(a)\1", r"invalid escape sequence: \1"),
        ("a{1001}", "invalid repetition size: {1001}"),
        (r"[\pL\pN]{1,1000}", "pattern too large - compile failed"),
        ("(" * 100, f"missing ): {'(' * 50}..."),
    ],
    ids=range(10),
)
def test_faults_are_in_re2s_words(pattern: str, fault: str | None) -> None:
    """What RE2 takes is fine; what it refuses has a short reason."""
    assert maybe_pattern_fault(pattern) == fault
