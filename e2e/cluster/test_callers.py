"""From a Secret with callers' keys to who is let in: applied, rotated, and taken away, after which nobody is."""

from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from e2e.cluster.conftest import fresh_name
from e2e.support.control_plane import ControlPlane
from e2e.support.secrets import forms_of, outputs, put_secret
from e2e.support.stand import Stand, placed, running_stand
from tests.support.gateway import backend, route, rule
from tests.support.plane import CHAT, chat
from tests.support.upstreams import Upstream
from tests.support.waiting import until

ALICE, NEXT, BOB = "mArKeD-alices-key-012345", "mArKeD-alices-next-01234", "mArKeD-bobs-key-01234567"


@pytest.fixture(scope="module")
def stand(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder, flags = tmp_path_factory.mktemp("callers"), ("--log-level", "debug")
    with running_stand(control_plane, folder, fresh_name("callers"), *flags, pods=2, log_level="debug") as stand:
        yield stand


def test_the_keys_of_callers(stand: Stand, namespace: str, up: Upstream) -> None:
    """Without its Secret a rule is closed; then those in it are let in, as it is now; and closed again without it."""
    auth = {"apiKeys": {"secretRef": {"name": "callers"}}}
    guarded, free = f"{namespace}-guarded", f"{namespace}-free"
    documents = [
        route(rule(guarded, "up"), name="guarded", clientAuth=auth),
        route(rule(free, "up"), name="free"),
        backend("up", up.port, auth={"none": {}}),
    ]
    for document in placed(namespace, documents):
        stand.api.apply(document)
    _until(stand, free, ALICE, {200})
    _until(stand, guarded, ALICE, {401, 503})

    put_secret(stand.api, namespace, "callers", alice=ALICE, bob=BOB)
    _until(stand, guarded, ALICE, {200})
    _until(stand, guarded, BOB, {200})
    _until(stand, guarded, NEXT, {401})

    put_secret(stand.api, namespace, "callers", alice=NEXT, bob=BOB)
    _until(stand, guarded, NEXT, {200})
    _until(stand, guarded, ALICE, {401})
    _until(stand, guarded, BOB, {200})

    stand.api.delete("Secret", namespace, "callers")
    for key in (NEXT, BOB, ALICE):
        _until(stand, guarded, key, {401, 503})
    _until(stand, free, ALICE, {200})

    texts = dict(outputs(stand))
    for marker in (ALICE, NEXT, BOB):
        assert [where for where, text in texts.items() if any(form in text for form in forms_of(marker))] == []
        assert marker not in str(up.received)


def _until(stand: Stand, model: str, key: str, statuses: set[int]) -> None:
    """Returns when every processor answers so: Envoy asks them in turn."""

    def answers() -> set[int]:
        return {_ask(stand.data.envoy.port, model, key) for _ in range(8)}

    until(lambda: answers() <= statuses, f"{model} is not answered by {statuses}", 20)


def _ask(port: int, model: str, key: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        connection.request("POST", CHAT, chat(model), headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()
