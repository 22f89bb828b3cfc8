"""What holds for every snapshot."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.api import Subject
from controller.translate import Snapshot, Translation, translate
from extproc.config.loader import dump, load
from tests.support.api_objects import backend, route, rule
from tests.support.translate_cases import CASES, inputs, rendered

NAMES = st.sampled_from(["a", "b", "c", "openai", "missing"])
MODELS = st.sampled_from(["gpt-4o", "gpt-4o-mini", "claude"])
SPACES = st.sampled_from(["team-a", "team-b"])

REFS = st.builds(
    lambda name, weight, override: {"name": name, "weight": weight, **override},
    NAMES,
    st.sampled_from([0, 1, 7, -1]),
    st.sampled_from([{}, {"modelNameOverride": "m"}]),
)
HEADERS = st.builds(
    lambda name, value, kind: {"name": name, "value": value, "type": kind},
    st.sampled_from(["x-ai-eg-model", "x-envoy-ai-gateway-llm-model", "x-team", "X-Team"]),
    st.sampled_from(["gpt-4o", "red", ".*", "("]),
    st.sampled_from(["Exact", "RegularExpression", "Prefix"]),
)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["first", "second", "NOT A NAME"]),
        "matches": st.lists(st.fixed_dictionaries({}, optional={"headers": st.lists(HEADERS, max_size=2)}), max_size=2),
        "backendRefs": st.lists(REFS, max_size=3),
        "timeouts": st.sampled_from([{"request": "30s"}, {"request": "0s"}, {"request": "soon"}, {}]),
        "extra": st.just(1),
    },
)
ROUTES = st.builds(
    lambda rules, name, space, hosts, stamp: _stamped(
        route(*rules, name=name, namespace=space, hostnames=hosts), stamp
    ),
    st.lists(RULES, max_size=3),
    NAMES,
    SPACES,
    st.sampled_from([[], ["llm.example.com"], ["*.example.com"], ["http://x"]]),
    st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", None]),
)
BACKENDS = st.builds(
    lambda name, space, spec: backend(name, space, **spec),
    NAMES,
    SPACES,
    st.sampled_from(
        [
            {},
            {"endpoint": {"hostname": "10.0.0.1", "port": 80}},
            {"endpoint": {"hostname": "not a host"}},
            {"backendRef": {"name": "svc", "port": 80}},
            {"backendRef": {"name": "svc", "namespace": "elsewhere", "port": 80}},
            {"outputSchema": {"schema": "Nobody"}},
        ]
    ),
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
GROUPS = st.sampled_from(
    ["aigateway.envoyproxy.io/v1alpha1", "gateway.envoyproxy.io/v1alpha1", "gateway.networking.k8s.io/v1beta1", "v1"]
)
METADATA = st.fixed_dictionaries({"name": NAMES | JSON}, optional={"namespace": JSON, "generation": JSON})
SPECS = st.fixed_dictionaries({}, optional={"rules": st.lists(RULES | JSON, max_size=3), "endpoints": JSON})
ODD = st.fixed_dictionaries(
    {"kind": st.sampled_from(["LLMRoute", "LLMBackend", "Backend", "ReferenceGrant", "Secret"]) | JSON},
    optional={"apiVersion": GROUPS | JSON, "metadata": METADATA | JSON, "spec": SPECS | JSON},
)


def _stamped(obj: dict[str, Any], stamp: str | None) -> dict[str, Any]:
    obj["metadata"]["creationTimestamp"] = stamp
    return obj


def _unique(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({(o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]): o for o in objects}.values())


WORLDS = st.lists(ROUTES | BACKENDS, max_size=8).map(_unique)


def _text(objects: list[dict[str, Any]]) -> str:
    return json.dumps(rendered(translate(Snapshot.of(objects))))


def _parts(result: Translation) -> dict[str, Any]:
    """What each object became: its rules by their source, its backend by its name, its route and cluster."""
    rules = {rule.source or "": rule for rule in result.config.rules}
    backends = {entry.name: entry for entry in result.config.backends}
    clusters = {cluster["alt_stat_name"]: cluster for cluster in result.envoy.cds["resources"]}
    return {"rules": rules, "backends": backends, "clusters": clusters}


@given(WORLDS)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_world_gives_a_configuration_that_loads(objects: list[dict[str, Any]]) -> None:
    """Whatever is wrong with the objects: a status for each, and a file that the processor reads back as it was."""
    result = translate(Snapshot.of(objects))

    assert load(dump(result.config)) == result.config
    assert len(result.statuses) == len(objects)
    accepted = {s.subject for s in result.statuses if s.conditions[0].status == "True"}
    programmed = {s.subject for s in result.statuses if s.conditions[2].status == "True"}
    assert programmed <= accepted
    assert {s.subject for s in result.statuses if s.conditions[1].status == "True"} & accepted <= programmed


@given(st.lists(ODD, max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_that_yaml_can_hold_stops_a_translation(objects: list[dict[str, Any]]) -> None:
    """Objects of our kinds and others, with anything in their fields: beside them a good pair is served as ever."""
    result = translate(Snapshot.of([route(rule("a", "good"), name="good-pair"), backend("good"), *objects]))

    assert "team-a/good-pair@1#rules[0]" in [served.source for served in result.config.rules]


@given(WORLDS, st.randoms(use_true_random=False))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_order_of_the_objects_does_not_matter(objects: list[dict[str, Any]], random: Any) -> None:
    """Equal worlds give equal bytes, however they are listed and however often."""
    first = _text(objects)
    shuffled = list(objects)
    random.shuffle(shuffled)

    assert _text(shuffled) == first
    assert _text(objects) == first


@given(WORLDS, st.integers(0, 7))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_object_changes_only_what_uses_it(objects: list[dict[str, Any]], index: int) -> None:
    """Without one object all else is as it was, but for rules of its namespace when it was a backend."""
    if index >= len(objects):
        return
    removed = objects[index]
    before = _parts(translate(Snapshot.of(objects)))
    after = _parts(translate(Snapshot.of(objects[:index] + objects[index + 1 :])))

    gone = f"{removed['metadata']['namespace']}/{removed['metadata']['name']}"
    of_route = removed["kind"] == "LLMRoute"
    for kind, parts in before.items():
        for name, part in parts.items():
            its_own = name.startswith(f"{gone}@") if of_route else name == gone
            uses_it = kind == "rules" and not of_route and name.startswith(removed["metadata"]["namespace"])
            if not its_own and not uses_it:
                assert after[kind][name] == part


def test_an_edit_elsewhere_leaves_the_hash_of_a_part() -> None:
    """Programmed's message changes with the object's own part and with nothing else."""
    chat, other, up = route(rule("a", "openai")), route(rule("b", "openai"), name="other"), backend()
    edited = route(rule("b", "openai"), rule("c", "missing"), name="other")

    before, after = (
        {s.subject: s.conditions[2].message for s in translate(Snapshot.of(objects)).statuses}
        for objects in ([chat, other, up], [chat, edited, up, backend("new")])
    )

    changed = {subject for subject, message in before.items() if after[subject] != message}
    assert changed == {Subject("LLMRoute", "team-a", "other")}


def test_a_bad_object_takes_nobody_with_it() -> None:
    """All cases together, broken objects among them: each is judged as if its namespace were alone in the world."""
    everything: list[dict[str, Any]] = []
    alone: dict[Subject, tuple[str, ...]] = {}
    for case in CASES:
        settings_, objects = inputs(case)
        text = json.dumps(objects, default=str).replace("team-", f"{case}-team-").replace("models", f"{case}-m")
        moved = json.loads(text)
        if settings_ != Snapshot().settings:
            continue
        everything += moved
        alone |= {s.subject: _verdicts(s.conditions) for s in translate(Snapshot.of(moved)).statuses}

    together = {s.subject: _verdicts(s.conditions) for s in translate(Snapshot.of(everything)).statuses}

    assert together == alone


def _verdicts(conditions: Any) -> tuple[str, ...]:
    return tuple(f"{c.type}={c.status}/{c.reason}" for c in conditions if c.type != "Warnings")
