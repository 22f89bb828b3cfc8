"""From a user's Secret to the header that a provider sees: applied, rotated, taken away, and never shown to anybody."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest

from e2e.cluster.conftest import fresh_name
from e2e.conftest import Tell
from e2e.support.accounts import make_namespace
from e2e.support.control_plane import ControlPlane
from e2e.support.data_plane import CREDENTIALS, ENVOY_SECRETS
from e2e.support.foreign import foreign_definition
from e2e.support.secrets import forms_of, outputs, put_secret, with_key
from e2e.support.stand import Stand, placed, running_stand
from e2e.support.status import conditions, until_says
from tests.support.gateway import backend, route, rule
from tests.support.load import Client, Got
from tests.support.plane import chat
from tests.support.upstreams import Upstream
from tests.support.waiting import until

GOOD = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True", "Serving": "True"}


@pytest.fixture(scope="module")
def stand(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder, flags = tmp_path_factory.mktemp("stand"), ("--log-level", "debug")
    name = fresh_name("credentials")
    with running_stand(control_plane, folder, name, *flags, pods=2, log_level="debug") as stand:
        yield stand


@pytest.fixture(autouse=True)
def _forget(up: Upstream) -> None:
    up.forget()


def apply(stand: Stand, namespace: str, port: int, place: str | None = None) -> str:
    """A backend with a key, one without, a route to each; the model of the first. ``place``: the Secret's namespace."""
    rules = [rule(f"{namespace}-keyed", "keyed"), rule(f"{namespace}-other", "other")]
    for document in placed(namespace, [route(*rules), backend("other", port)]):
        stand.api.apply(document)
    stand.api.apply(with_key(namespace, "keyed", port, "keys", place))
    return f"{namespace}-keyed"


def why(stand: Stand, namespace: str, reason: str, limit_s: float = 15.0) -> str:
    """The backend's message once its references are not resolved for this reason."""

    def resolved() -> dict[str, str]:
        return conditions(stand.api.get("LLMBackend", namespace, "keyed")).get("ResolvedRefs", {})

    until(lambda: resolved().get("reason") == reason, f"it is not {reason}: {resolved()}", limit_s)
    assert resolved()["status"] == "False"
    return resolved()["message"]


def until_all_answer(stand: Stand, model: str, status: int) -> None:
    """Returns when every processor does: Envoy asks them in turn."""
    until(lambda: {stand.ask(model).status for _ in range(10)} == {status}, f"not all answer {status}")


def test_a_life(stand: Stand, namespace: str, up: Upstream, tell: Tell) -> None:
    """Without its Secret, or the key in it, a backend answers 503, with it 200, and its status says why."""
    model = apply(stand, namespace, up.port)
    assert why(stand, namespace, "SecretNotFound").endswith(f'Secret "keys" not found in namespace "{namespace}"')
    refused = stand.until_answers(model, 503, f"{namespace}/keyed")
    assert "keys" not in refused.message
    stand.until_answers(f"{namespace}-other", 200)

    created = time.monotonic()
    put_secret(stand.api, namespace, "keys", apiKey="sk-first")
    until_says(stand.api, "LLMBackend", namespace, "keyed", {"ResolvedRefs": "True"}, 2)
    tell(status_follows_s=time.monotonic() - created)
    stand.until_answers(model, 200)
    assert up.received[-1].header("authorization") == "Bearer sk-first"
    until_says(stand.api, "LLMBackend", namespace, "keyed", GOOD)

    put_secret(stand.api, namespace, "keys", wrong="sk-first")
    assert 'no key "apiKey"' in why(stand, namespace, "SecretKeyNotFound", 2)
    until_all_answer(stand, model, 503)
    put_secret(stand.api, namespace, "keys", apiKey="sk-second")
    stand.until_answers(model, 200)
    assert up.received[-1].header("authorization") == "Bearer sk-second"

    stand.api.delete("Secret", namespace, "keys")
    why(stand, namespace, "SecretNotFound", 2)
    until_all_answer(stand, model, 503)
    assert stand.ask(f"{namespace}-other").status == 200
    up.forget()
    assert stand.ask(model).status == 503
    assert up.received == []


async def test_rotation_under_load(stand: Stand, namespace: str, up: Upstream, tell: Tell) -> None:
    """Every request carries a key of its time, none fails, and two seconds after the volumes changed all are new."""
    put_secret(stand.api, namespace, "keys", apiKey="sk-0")
    model = apply(stand, namespace, up.port)
    await asyncio.to_thread(stand.until_answers, model, 200)
    await asyncio.to_thread(until_says, stand.api, "LLMBackend", namespace, "keyed", GOOD)
    up.forget()
    answers: list[Got] = []
    swapped: list[float] = []
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(_ask_on(stand.data.envoy.port, model, answers, enough))
        for number in range(1, 6):
            await asyncio.to_thread(_rotate, stand, namespace, f"sk-{number}")
            swapped.append(time.monotonic())
            await asyncio.sleep(2)
            seen = len(up.received)
            await asyncio.sleep(0.3)
            assert {got.header("authorization") for got in up.received[seen:]} == {f"Bearer sk-{number}"}
        enough.set()

    assert Counter(got.status for got in answers) == {200: len(answers)}
    assert [got.fault for got in answers if got.fault] == []
    shown = [int(str(got.header("authorization")).removeprefix("Bearer sk-")) for got in up.received]
    # Two processors take a new key at two moments, and the one before it is still good then.
    assert all(later >= former - 1 for former, later in pairwise(shown))
    tell(requests=len(answers), rotations=len(swapped))


def _rotate(stand: Stand, namespace: str, key: str) -> None:
    """Returns when it is in all volumes."""
    before = [len(pod.credentials.swaps) for pod in stand.data.pods]
    put_secret(stand.api, namespace, "keys", apiKey=key)
    until(
        lambda: all(len(pod.credentials.swaps) > n for pod, n in zip(stand.data.pods, before, strict=True)),
        "the volumes do not change",
        4,
    )


async def _ask_on(port: int, model: str, answers: list[Got], enough: asyncio.Event) -> None:
    async with Client(port) as client:
        while not enough.is_set():
            answers.append(await client.ask(chat(model)))
            await asyncio.sleep(0.01)


def test_a_rotation_is_told_to_the_pods(stand: Stand, namespace: str, up: Upstream) -> None:
    """Their annotation changes, or a kubelet would take a minute; the configuration stays, and so do the statuses."""
    put_secret(stand.api, namespace, "keys", apiKey="sk-first")
    apply(stand, namespace, up.port)
    before = until_says(stand.api, "LLMBackend", namespace, "keyed", GOOD)
    stand.until_settled()
    revision, since = stand.config()["revision"], len(stand.operator.asked())

    put_secret(stand.api, namespace, "keys", apiKey="sk-second")

    def version() -> str:
        return str(stand.api.get("Secret", stand.namespace, CREDENTIALS)["metadata"]["resourceVersion"])

    def told() -> set[str | None]:
        pods = [*(pod.name for pod in stand.data.pods), "envoy-0"]
        return {stand.kubelet.annotations(pod).get("llmroute.io/credentials") for pod in pods}

    until(lambda: "sk-second" in str(stand.files_of_secret(CREDENTIALS)), "it is not written")
    until(lambda: told() == {version()}, "the pods were not told")
    assert stand.config()["revision"] == revision
    assert stand.api.get("LLMBackend", namespace, "keyed")["metadata"] == before["metadata"]
    writes = {(each.resource, each.name) for each in stand.operator.writes(since) if each.resource != "pods/status"}
    assert writes == {("secrets", CREDENTIALS)}


def test_what_is_not_used_any_more_leaves(stand: Stand, namespace: str, up: Upstream) -> None:
    """A deleted backend's file stays until every processor does without the backend, and then goes."""
    put_secret(stand.api, namespace, "keys", apiKey="sk-first")
    model = apply(stand, namespace, up.port)
    stand.until_answers(model, 200)
    [file] = [name for name in stand.files_of_secret(CREDENTIALS) if name.startswith(f"{namespace}.keyed.")]
    late = stand.data.pods[1].volume
    late.delay_s = 3600
    try:
        stand.api.delete("LLMBackend", namespace, "keyed")
        until(lambda: f"{namespace}/keyed" not in {each["name"] for each in stand.config()["backends"]})
        time.sleep(1)
        assert file in stand.files_of_secret(CREDENTIALS)
    finally:
        late.delay_s = 0
    until(lambda: file not in stand.files_of_secret(CREDENTIALS), "the file stays", 20)


@pytest.mark.parametrize("name", [CREDENTIALS, ENVOY_SECRETS])
@pytest.mark.parametrize("deed", ["deleted", "emptied", "edited"])
def test_foreign_hands_on_a_secret(stand: Stand, namespace: str, up: Upstream, name: str, deed: str) -> None:
    """Deleted or edited by hand, a Secret of ours is put back within two seconds."""
    put_secret(stand.api, namespace, "keys", apiKey="sk-first")
    model = apply(stand, namespace, up.port)
    stand.until_answers(model, 200)
    until_says(stand.api, "LLMBackend", namespace, "keyed", GOOD)
    before = stand.files_of_secret(name)

    if deed == "deleted":
        stand.api.delete("Secret", stand.namespace, name)
    else:
        data = None if deed == "emptied" else dict.fromkeys(before, "YmFk")
        stand.api.merge("Secret", stand.namespace, name, {"data": data})

    # Not compared as a whole: files of the tests before may be leaving just now.
    def is_back() -> bool:
        files = stand.api.maybe_get("Secret", stand.namespace, name) and stand.files_of_secret(name)
        ours = {key: value for key, value in before.items() if key.startswith(f"{namespace}.")}
        return files is not None and ours.items() <= files.items()

    until(is_back, "not put back", 2)
    stand.until_answers(model, 200)


def test_a_restart_writes_nothing(stand: Stand, namespace: str, up: Upstream) -> None:
    """Equal Secrets are equal files, and no Secret of anybody else is ever asked for."""
    operator = stand.operator
    put_secret(stand.api, namespace, "keys", apiKey="sk-first")
    put_secret(stand.api, namespace, "not-ours", apiKey="sk-first")
    apply(stand, namespace, up.port)
    until_says(stand.api, "LLMBackend", namespace, "keyed", GOOD)
    stand.until_settled()
    until(lambda: all(name.startswith(namespace) for name in stand.files_of_secret(CREDENTIALS)), "old files stay", 20)
    since, before = len(operator.asked()), stand.api.get("Secret", stand.namespace, CREDENTIALS)

    assert operator.terminate() == 0
    operator.start()
    operator.wait_ready()
    until(lambda: operator.leads, "it does not lead")
    time.sleep(2)

    assert operator.writes(since) == []
    assert stand.api.get("Secret", stand.namespace, CREDENTIALS) == before
    assert "list" not in {each.verb for each in operator.asked() if each.resource == "secrets"}
    asked = {(each.verb, each.namespace, each.name) for each in operator.asked()[since:] if each.resource == "secrets"}
    assert {verb for verb, _, _ in asked} == {"get", "watch"}
    assert {name for _, place, name in asked if place == stand.namespace} == {CREDENTIALS, ENVOY_SECRETS}
    assert {name for _, place, name in asked if place != stand.namespace} == {"keys"}


def test_another_namespace(stand: Stand, namespace: str, up: Upstream) -> None:
    """A Secret there is not even asked for until a ReferenceGrant of that namespace permits it."""
    api, theirs = stand.api, f"{namespace}-vault"
    definition = foreign_definition("ReferenceGrant")
    make_namespace(api, theirs)
    put_secret(api, theirs, "keys", apiKey="sk-theirs")
    stand.plane.define([definition])
    try:
        model = apply(stand, namespace, up.port, theirs)
        assert "no ReferenceGrant there" in why(stand, namespace, "RefNotPermitted")
        stand.until_answers(model, 503, f"{namespace}/keyed")
        assert not [each for each in stand.operator.asked() if each.namespace == theirs]
        source = {"group": "aigateway.envoyproxy.io", "kind": "LLMBackend", "namespace": namespace}
        spec = {"from": [source], "to": [{"group": "", "kind": "Secret", "name": "keys"}]}
        grant = {"apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant", "spec": spec}
        api.apply({**grant, "metadata": {"name": "keys", "namespace": theirs}})
        stand.until_answers(model, 200, limit_s=75)  # a definition that came late is found with the next complete read
        assert up.received[-1].header("authorization") == "Bearer sk-theirs"
        api.delete("ReferenceGrant", theirs, "keys")
        why(stand, namespace, "RefNotPermitted")
        stand.until_answers(model, 503, f"{namespace}/keyed")
    finally:
        api.delete("CustomResourceDefinition", None, definition["metadata"]["name"])


def test_nobody_is_shown_a_secret(stand: Stand, namespace: str, up: Upstream) -> None:
    """Good and bad ones, at debug level: no log, status, Event, ConfigMap, metric, page or answer has any of them."""
    markers = {name: f"mArKeR{name}{namespace.replace('-', '')}" for name in ("good", "wrong", "aws", "json", "bad")}
    model = apply(stand, namespace, up.port)
    ini = f"[default]\naws_access_key_id = {markers['aws']}\naws_secret_access_key = {markers['aws']}\n{markers['aws']}"
    put_secret(stand.api, namespace, "keys", apiKey=markers["good"])
    put_secret(stand.api, namespace, "wrong", other=markers["wrong"])
    put_secret(stand.api, namespace, "bad", apiKey=f"{markers['bad']}\n{markers['bad']}")
    put_secret(stand.api, namespace, "aws", credentials=ini)
    put_secret(stand.api, namespace, "json", **{"service_account.json": f'{{"private_key": "{markers["json"]}'})
    for name in ("wrong", "bad"):
        stand.api.apply(with_key(namespace, name, up.port, name))
    place = {"project": "p-12345", "location": "us-east1"}
    auths = (
        ("aws", "AWSBedrock", {"aws": {"region": "us-east-1", "secretRef": {"name": "aws"}}}),
        ("json", "GCPVertexAI", {"gcp": {**place, "serviceAccountSecretRef": {"name": "json"}}}),
    )
    for name, schema, auth in auths:
        stand.api.apply(placed(namespace, [backend(name, up.port, schema, auth=auth)])[0])
    names = ("wrong", "bad", "aws", "json")
    rules = [rule(f"{namespace}-{name}", name) for name in names]
    stand.api.apply(placed(namespace, [route(*rules, name="more")])[0])
    stand.until_answers(model, 200)
    for name in ("wrong", "bad", "json"):
        until_says(stand.api, "LLMBackend", namespace, name, {"ResolvedRefs": "False"})
    bodies = [("an answer", str(stand.until_answers(f"{namespace}-{n}", 503).body)) for n in ("wrong", "bad", "json")]
    put_secret(stand.api, namespace, "keys", apiKey=f"{markers['good']}\0")
    why(stand, namespace, "SecretMalformed")
    stand.api.merge("Secret", stand.namespace, CREDENTIALS, {"data": None})
    until(lambda: stand.api.list("Event", namespace), "no Event")
    time.sleep(1)

    shown = [*outputs(stand), *bodies]
    assert up.received[0].header("authorization") == f"Bearer {markers['good']}"
    for marker in markers.values():
        assert [where for where, text in shown if any(form in text for form in forms_of(marker))] == []
    assert min(len(text) for where, text in shown if "Envoy's envoy.log" not in where) > 1
