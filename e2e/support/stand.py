"""All of it: an operator under its example rights, the pods on their volumes, and providers behind them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from e2e.support.accounts import grant, make_namespace, withdraw
from e2e.support.api import Api, Object
from e2e.support.control_plane import ControlPlane
from e2e.support.data_plane import ENVOY_MAP, EXTPROC_MAP, DataPlane, admin_port, running_data_plane
from e2e.support.kubelet import Kubelet, files_of, running_kubelet
from e2e.support.operators import ACCOUNT, Operator, running_operator
from extproc.config.loader import load
from extproc.config.names import keyed
from tests.support.plane import CHAT, chat
from tests.support.scripted import COMPLETION, CONVERSE_ANSWER
from tests.support.upstreams import Received, Reply, Upstream, json_reply, running_upstream
from tests.support.waiting import until

#: In the examples.
_NAMESPACE = "llmroute-system"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got. ``text``: the first choice's content; ``message``: the error's."""

    status: int
    body: Mapping[str, Any]

    @property
    def text(self) -> str:
        return str(self.body["choices"][0]["message"]["content"])

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


@dataclass
class Stand:
    """``namespace`` is the operator's own; routes live wherever a test puts them, in its scope."""

    plane: ControlPlane
    namespace: str
    folder: Path
    kubelet: Kubelet
    operator: Operator
    data: DataPlane

    @property
    def api(self) -> Api:
        return self.plane.admin

    def ask(self, model: str) -> Answer:
        """One chat on a connection of its own."""
        return ask(self.data.envoy.port, model)

    def until_answers(self, model: str, status: int, text: str = "", limit_s: float = 15.0) -> Answer:
        """Returns the first answer with this status, and with this text in it."""
        last: list[Answer] = []

        def look() -> bool:
            last[:] = [self.ask(model)]
            return last[0].status == status and text in json.dumps(last[0].body)

        try:
            until(look, f"model {model} is not answered by {status} {text!r}", limit_s)
        except Exception as fault:
            fault.add_note(f"the last answer: {last}\nthe end of the operator's log:\n{self.operator.log[-3000:]}")
            raise
        return last[0]

    def until_all_serve(self) -> None:
        """Returns when every processor serves what the ConfigMap holds now."""
        wanted = self.config()["revision"]
        until(lambda: {pod.revision for pod in self.data.pods} == {wanted}, f"not all serve revision {wanted}")

    def until_settled(self) -> None:
        """Returns when every processor serves the newest, and Envoy has lost what nobody uses any more."""
        self.until_all_serve()

        def alike() -> bool:
            clusters = json.loads(self.files(ENVOY_MAP)["cds.yaml"])["resources"]
            wanted = {keyed(each["name"], each["fingerprint"]) for each in self.config()["backends"]}
            return {each["name"] for each in clusters} == wanted

        until(alike, "Envoy keeps what is gone", 30)

    def files(self, config_map: str) -> dict[str, bytes]:
        """What a ConfigMap holds, as a container would see it."""
        return files_of(self.api.get("ConfigMap", self.namespace, config_map))

    def files_of_secret(self, name: str) -> dict[str, bytes]:
        """What a Secret of the operator's namespace holds, as a container would see it."""
        return files_of(self.api.get("Secret", self.namespace, name))

    def config(self) -> dict[str, Any]:
        """What the extproc ConfigMap holds."""
        return load(self.files(EXTPROC_MAP)["config.yaml"]).model_dump(mode="json", by_alias=True)


@contextmanager
def running_stand(
    plane: ControlPlane,
    folder: Path,
    namespace: str,
    *flags: str,
    url: str | None = None,
    pods: int = 1,
    log_level: str = "info",
    spare: int = 0,
    mounted: bool = False,
) -> Iterator[Stand]:
    """All of it, ready. ``flags`` are the operator's, ``url`` is its way to the API server, ``log_level`` the pods'.

    ``spare`` and ``mounted`` are the data plane's.
    """
    with ExitStack() as stack:
        make_namespace(plane.admin, namespace)
        granted = grant(plane.admin, "cluster-wide.yaml", {_NAMESPACE: namespace})
        stack.callback(withdraw, plane.admin, granted)
        admin = admin_port()
        kubelet = stack.enter_context(running_kubelet(plane.admin, namespace))
        account = f"{namespace}/{ACCOUNT}"
        flags = ("--extproc-admin-port", str(admin), *flags)
        operator = stack.enter_context(running_operator(plane, folder, account, *flags, url=url))
        operator.wait_ready()
        plane_of_data = running_data_plane(kubelet, folder, admin, pods, log_level, spare=spare, mounted=mounted)
        data = stack.enter_context(plane_of_data)
        yield Stand(plane, namespace, folder, kubelet, operator, data)


@contextmanager
def running_provider(name: str) -> Iterator[Upstream]:
    """A provider of every dialect that says its name and the model that it was asked for."""

    def reply(request: Received) -> Reply:
        if request.path.startswith("/model/"):
            model = request.path.split("/")[2]
            return json_reply({**CONVERSE_ANSWER, "output": _bedrock(f"{name}:{model}")})
        model = request.json["model"]
        message = {"role": "assistant", "content": f"{name}:{model}"}
        return json_reply({**COMPLETION, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    with running_upstream() as upstream:
        upstream.answer_with(reply)
        yield upstream


def placed(namespace: str, documents: Sequence[Object]) -> list[dict[str, Any]]:
    """The same objects in a namespace."""
    return [{**each, "metadata": {**each["metadata"], "namespace": namespace}} for each in documents]


def ask(port: int, model: str) -> Answer:
    """One chat on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", CHAT, chat(model), {"content-type": "application/json"})
        response = connection.getresponse()
        return Answer(response.status, json.loads(response.read()))
    finally:
        connection.close()


def config_maps(api: Api, namespace: str) -> list[dict[str, Any] | None]:
    """Both of them, as they are; None for one that is not there."""
    return [api.maybe_get("ConfigMap", namespace, name) for name in (EXTPROC_MAP, ENVOY_MAP)]


def _bedrock(text: str) -> Mapping[str, Any]:
    return {"message": {"role": "assistant", "content": [{"text": text}]}}
