"""What goes wrong in clusters, caused for real: a killed API server, lost history, a killed operator, foreign hands."""

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from e2e.cluster.conftest import fresh_name
from e2e.conftest import Tell
from e2e.support.api import Api, Refused
from e2e.support.changes import changing
from e2e.support.control_plane import ControlPlane
from e2e.support.data_plane import ENVOY_MAP, EXTPROC_MAP
from e2e.support.operators import Operator
from e2e.support.stand import Stand, config_maps, placed, running_stand
from e2e.support.status import until_says
from e2e.support.tcp_proxy import Wire, running_wire
from extproc.config.loader import load
from tests.support.gateway import backend, route, rule
from tests.support.upstreams import Upstream
from tests.support.waiting import until

GOOD = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True", "Serving": "True"}


@pytest.fixture(scope="module")
def wire(control_plane: ControlPlane) -> Iterator[Wire]:
    with running_wire(control_plane.port) as wire:
        yield wire


@pytest.fixture(scope="module")
def stand(control_plane: ControlPlane, wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("stand")
    with running_stand(control_plane, folder, fresh_name("faults"), url=wire.url) as stand:
        yield stand


def test_the_api_server_is_killed(stand: Stand, namespace: str, up: Upstream, tell: Tell) -> None:
    """Answers go on while it is away; the operator stays alive, and follows within seconds once it is back."""
    api, plane, model = stand.api, stand.plane, f"{namespace}-m"
    for document in placed(namespace, [route(rule(model, "up")), backend("up", up.port)]):
        api.apply(document)
    stand.until_answers(model, 200)

    plane.kill_apiserver()
    try:
        for _ in range(30):
            assert stand.ask(model).status == 200
            time.sleep(0.1)
        assert stand.operator.page("/healthz")[0] == 200
    finally:
        plane.start_apiserver()
    came_back = time.monotonic()

    api.apply(placed(namespace, [route(rule(f"{model}-2", "up"))])[0])
    stand.until_answers(f"{model}-2", 200, limit_s=30)
    tell(followed_after_s=time.monotonic() - came_back)
    until_says(api, "LLMRoute", namespace, "route", GOOD, 30)
    assert stand.operator.code is None


@pytest.mark.parametrize("history", ["kept", "compacted"])
def test_deleted_while_the_operator_could_not_see_it(
    stand: Stand, wire: Wire, namespace: str, up: Upstream, tell: Tell, history: str
) -> None:
    """A route deleted around a restart of the API server is gone soon, also when no watch can tell of it (410)."""
    api, plane = stand.api, stand.plane
    routes = [route(rule(f"{namespace}-{name}", "up"), name=name) for name in ("stays", "goes")]
    for document in placed(namespace, [*routes, backend("up", up.port)]):
        api.apply(document)
    for name in ("stays", "goes"):
        stand.until_answers(f"{namespace}-{name}", 200)

    wire.cut()
    seen = api.get("LLMRoute", namespace, "goes")["metadata"]["resourceVersion"]
    api.delete("LLMRoute", namespace, "goes")
    plane.kill_apiserver()
    if history == "compacted":
        plane.compact()
    plane.start_apiserver()
    if history == "compacted":
        assert is_gone(api, namespace, seen)
    wire.mend()
    came_back = time.monotonic()

    stand.until_answers(f"{namespace}-goes", 404, limit_s=30)
    tell(gone_after_s=time.monotonic() - came_back)
    assert stand.ask(f"{namespace}-stays").status == 200


_FILES = {EXTPROC_MAP: {"config.yaml"}, ENVOY_MAP: {"rds.yaml", "cds.yaml", "ecds.yaml"}}
#: Which file is broken by an edit.
_BROKEN = {EXTPROC_MAP: "config.yaml", ENVOY_MAP: "rds.yaml"}


@pytest.mark.parametrize("name", [EXTPROC_MAP, ENVOY_MAP])
@pytest.mark.parametrize("deed", ["deleted", "emptied", "edited"])
def test_foreign_hands_on_a_config_map(stand: Stand, namespace: str, up: Upstream, name: str, deed: str) -> None:
    """Deleted or edited by hand, a ConfigMap is put back within two seconds, and nobody who is served notices."""
    api, model = stand.api, f"{namespace}-m"
    for document in placed(namespace, [route(rule(model, "up")), backend("up", up.port)]):
        api.apply(document)
    stand.until_answers(model, 200)

    if deed == "deleted":
        api.delete("ConfigMap", stand.namespace, name)
    else:
        api.merge("ConfigMap", stand.namespace, name, {"data": None if deed == "emptied" else {_BROKEN[name]: "{"}})

    # Not compared with what was there: backends of the tests before may be leaving Envoy's map just now.
    def is_whole() -> bool:
        data = (api.maybe_get("ConfigMap", stand.namespace, name) or {}).get("data") or {}
        return data.keys() == _FILES[name] and all(
            f'"{namespace}/up' in data[file] for file in _FILES[name] - {"ecds.yaml"}
        )

    until(is_whole, "not put back", 2)
    assert stand.ask(model).status == 200


def test_the_operator_is_killed_in_mid_write(stand: Stand, namespace: str, up: Upstream, tell: Tell) -> None:
    """Killed again and again while it writes, it leaves no broken file, and the next one sets everything right."""
    api, operator = stand.api, stand.operator
    api.apply(placed(namespace, [backend("up", up.port)])[0])
    with changing(api, namespace, "up") as names:
        for _ in range(3):
            until(lambda: operator.leads, "it does not lead", 20)
            until_written(stand, revision(stand))
            operator.kill()
            load(api.get("ConfigMap", stand.namespace, EXTPROC_MAP)["data"]["config.yaml"].encode())
            api.delete("Lease", stand.namespace, "llmroute-controller")  # else the next one waits until it has run out
            operator.start()
    operator.wait_ready()

    tell(applies=max(int(model.rpartition("-")[2]) for model in names.values()))
    for model in dict.fromkeys(names.values()):
        stand.until_answers(model, 200)
    for name in names:
        until_says(api, "LLMRoute", namespace, name, GOOD, 30)


def test_a_restart_writes_nothing(stand: Stand, namespace: str, up: Upstream) -> None:
    """Ended and started again on the same objects, the operator changes neither a ConfigMap nor a status."""
    api, operator = stand.api, stand.operator
    for document in placed(namespace, [route(rule("m", "up")), route(rule("n", "typo"), name="bad")]):
        api.apply(document)
    api.apply(placed(namespace, [backend("up", up.port)])[0])
    until_says(api, "LLMRoute", namespace, "route", GOOD)
    until_says(api, "LLMRoute", namespace, "bad", {"ResolvedRefs": "False"})
    settle(operator)
    since, before = len(operator.asked()), config_maps(api, stand.namespace)

    assert operator.terminate() == 0
    operator.start()
    operator.wait_ready()
    until(lambda: operator.leads, "it does not lead")
    settle(operator)

    assert operator.writes(since) == []
    assert config_maps(api, stand.namespace) == before


def test_its_token_is_replaced(stand: Stand, namespace: str, up: Upstream) -> None:
    """After its ServiceAccount was made anew the old token is worth nothing; with the new one it goes on by itself."""
    api, operator, model = stand.api, stand.operator, f"{namespace}-m"
    account = operator.account.rpartition("/")[2]
    api.delete("ServiceAccount", stand.namespace, account)
    metadata = {"name": account, "namespace": stand.namespace}
    api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    operator.renew_token()

    for document in placed(namespace, [route(rule(model, "up")), backend("up", up.port)]):
        api.apply(document)
    stand.until_answers(model, 200, limit_s=30)
    until_says(api, "LLMRoute", namespace, "route", GOOD, 30)
    assert operator.code is None


def is_gone(api: Api, namespace: str, version: str) -> bool:
    """Whether a watch cannot begin at this resource version any more."""
    with closing(api.watch("LLMRoute", namespace, version)) as watch:
        try:
            return next(iter(watch))[1].get("code") == 410
        except Refused as refused:
            return refused.status == 410


def until_written(stand: Stand, seen: int) -> None:
    until(lambda: revision(stand) > seen, "it writes nothing")


def revision(stand: Stand) -> int:
    return int(stand.config()["revision"])


def settle(operator: Operator) -> None:
    """Returns once nothing was written for two seconds."""
    quiet_since, count = time.monotonic(), -1
    while time.monotonic() < quiet_since + 2:
        time.sleep(0.2)
        if (now := len(operator.writes())) != count:
            quiet_since, count = time.monotonic(), now
