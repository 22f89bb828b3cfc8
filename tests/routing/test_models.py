from extproc.routing.index import Model
from tests.support.routing_configs import index_of

SERVED = "backends: [{name: b, outputSchema: {schema: OpenAI}}]"


def rule(model: str, more: str = "", backends: str = SERVED) -> str:
    """A rule for one model, as a line of the file."""
    return f"- {{headers: [{{name: x-ai-eg-model, value: {model}}}], {backends}{more}}}\n"


def ids(text: str, host: str = "gw", client: str | None = None) -> list[str]:
    """The ids of the listed models; ``has_model`` must agree on each."""
    index = index_of(text)
    listed = [model.id for model in index.models(host, client)]
    assert all(index.has_model(host, model, client) for model in listed)
    assert not index.has_model(host, "never-heard-of", client)
    return listed


def test_models_are_listed_once_and_sorted() -> None:
    """The exact names of all rules, with what the first rule of each says of it."""
    text = "rules:\n" + rule("b", ", created: 5, ownedBy: t") + rule("a") + rule("b", ", created: 9, ownedBy: u")

    assert index_of(text).models("gw") == (Model("a", 0, "llmroute"), Model("b", 5, "t"))


def test_models_depend_on_the_host() -> None:
    """A host lists its own rules', its wildcard's and everyone's models."""
    text = "rules:\n" + rule("all") + rule("wild", ", hostnames: ['*.x']") + rule("own", ", hostnames: [a.x, b.y]")

    assert ids(text, "A.x:443") == ["all", "own", "wild"]
    assert ids(text, "c.x") == ["all", "wild"]
    assert ids(text, "b.y") == ["all", "own"]
    assert ids(text, "y") == ["all"]


def test_the_most_specific_host_describes_a_model() -> None:
    """Where several rules name a model, the one that would serve it tells its owner."""
    text = "rules:\n" + rule("m", ", ownedBy: all") + rule("m", ", ownedBy: own, hostnames: [a.x]")

    assert [m.owned_by for m in index_of(text).models("a.x")] == ["own"]
    assert [m.owned_by for m in index_of(text).models("b.x")] == ["all"]


def test_models_that_cannot_be_served_are_not_listed() -> None:
    """Refused rules, rules without backends and rules whose weights are all 0 list nothing."""
    zero = "backends: [{name: b, weight: 0, outputSchema: {schema: OpenAI}}]"
    text = (
        "rules:\n"
        + rule("refused", ", refusal: no")
        + rule("empty", backends="backends: []")
        + rule("zero", backends=zero)
    )

    assert ids(text + rule("served")) == ["served"]


def test_patterns_and_other_headers_name_no_models() -> None:
    """Only exact values of the model are names: also in a match that asks for more, not in a contradiction."""
    model, other = "name: x-ai-eg-model", "name: x-envoy-ai-gateway-llm-model"
    headers = (
        f"{{{model}, value: 'gpt-.*', type: RegularExpression}}",
        "{name: x-team, value: team}",
        f"{{name: x-team, value: team}}, {{{model}, value: teams}}",
        f"{{{model}, value: a}}, {{{other}, value: b}}",
        f"{{{model}, value: one}}, {{{other}, value: one}}",
    )
    text = f"rules:\n- {{{SERVED}}}\n" + "".join(f"- {{headers: [{each}], {SERVED}}}\n" for each in headers)

    assert ids(text) == ["one", "teams"]


def test_models_of_another_client_api_are_not_shown() -> None:
    """A client sees the models of its API and of rules for any; without a client all are shown."""
    text = "rules:\n" + rule("any") + rule("openai", ", inputSchema: {schema: OpenAI}")

    assert ids(text, client="OpenAI") == ["any", "openai"]
    assert ids(text, client="Anthropic") == ["any"]
    assert ids(text) == ["any", "openai"]
