from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extproc.config.schema import Config, HeaderMatch, InputSchema, Match, Rule
from extproc.routing.index import compile_index
from tests.support.routing_reference import serving_rule

Asked = tuple[str, Mapping[str, str], str, str]


@dataclass(frozen=True, slots=True)
class World:
    """The words that rules and requests are made of. The fewer, the more often they meet."""

    condition_names: Sequence[str]
    exact: Sequence[str]
    patterns: Sequence[str]
    hosts: Sequence[str]
    request_hosts: Sequence[str]
    request_names: Sequence[str]
    most_rules: int

    def configs(self) -> st.SearchStrategy[Config]:
        """Any configuration of this world."""
        exact = st.builds(HeaderMatch, name=st.sampled_from(self.condition_names), value=st.sampled_from(self.exact))
        pattern = st.builds(
            HeaderMatch,
            name=st.sampled_from(self.condition_names),
            value=st.sampled_from(self.patterns),
            type=st.just("RegularExpression"),
        )
        matches = st.builds(Match, headers=st.lists(exact | pattern, max_size=3).map(tuple))
        schemas = st.none() | st.none() | st.just(InputSchema(schema_="OpenAI"))
        rules = st.builds(
            Rule,
            hostnames=st.just(()) | st.lists(st.sampled_from(self.hosts), max_size=2).map(tuple),
            input_schema=schemas,
            matches=st.lists(matches, min_size=1, max_size=2).map(tuple) | st.none(),
        )
        return st.builds(
            Config,
            input_schema=schemas,
            model_name_header_key=st.sampled_from(["x-ai-eg-model", "X-Model"]),
            rules=st.lists(rules, min_size=1, max_size=self.most_rules).map(tuple),
        )

    def requests(self) -> st.SearchStrategy[list[Asked]]:
        """Some requests of this world, header values as latin-1 text."""
        values = st.sampled_from(["", *self.exact])
        headers = st.dictionaries(
            st.sampled_from(self.request_names), values.map(lambda v: v.encode().decode("latin-1"))
        )
        asked = st.tuples(
            st.sampled_from(self.request_hosts), headers, values, st.sampled_from(["OpenAI", "OpenAI", "Anthropic"])
        )
        return st.lists(asked, min_size=4, max_size=12)


WIDE = World(
    condition_names=["x-team", "X-Tier", "x-llmroute-backend", "host", "x-envoy-ai-gateway-llm-model", "x-model"],
    exact=["a", "b", "ab", "A", "é", "a.x"],
    patterns=["a.*", ".*b", "[ab]+", ".", "é?.*", "(?i)A", "zz"],
    hosts=["a.x", "b.x", "*.x", "a.b.x", "*.b.x", "x"],
    request_hosts=["a.x", "A.X:443", "b.x.", "c.x:", "a.b.x:80", "c.b.x", "d.c.b.x", "x", "y", "", "[::1]:80", ".x"],
    request_names=["x-team", "x-tier", "x-llmroute-backend", ":authority", "host", "x-model", "x-ai-eg-model"],
    most_rules=6,
)
NARROW = World(
    condition_names=["x-team", "x-ai-eg-model"],
    exact=["a", "é"],
    patterns=[".", ".*", "a|b"],
    hosts=["a.x", "*.x"],
    request_hosts=["a.x", "b.x"],
    request_names=["x-team"],
    most_rules=4,
)


def _agree(config: Config, requests: Sequence[Asked]) -> None:
    index = compile_index(config)
    for host, headers, model, client in requests:
        route = index.match(host, headers, model, client)

        assert (None if route is None else route.index) == serving_rule(config, host, headers, model, client)


patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(WIDE.configs(), WIDE.requests())
def test_the_index_decides_as_a_scan_would(config: Config, requests: Sequence[Asked]) -> None:
    """For every request, the index finds the rule that trying all of them finds."""
    _agree(config, requests)


@patient
@given(NARROW.configs(), NARROW.requests())
def test_the_index_keeps_precedence_where_many_rules_fit(config: Config, requests: Sequence[Asked]) -> None:
    """Also where nearly every rule fits every request, and only precedence tells them apart."""
    _agree(config, requests)
