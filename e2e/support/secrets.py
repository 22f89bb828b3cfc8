"""Secrets of users, backends that name them, and where a secret may turn up that must not."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from typing import Any

from e2e.support.api import Api, Object
from e2e.support.stand import Stand, placed
from tests.support.gateway import backend

#: What is looked at of an object: all that the API server shows of it, but for Secrets.
_KINDS = ("LLMRoute", "LLMBackend", "ConfigMap", "Event", "Pod")


def put_secret(api: Api, namespace: str, name: str, **values: str) -> None:
    """Make a Secret hold these values and no others."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    metadata = {"name": name, "namespace": namespace}
    api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data})


def with_key(namespace: str, name: str, port: int, secret: str, place: str | None = None) -> dict[str, Any]:
    """A backend that is shown the API key in a Secret, of its own namespace unless another ``place`` is said."""
    auth = {"apiKey": {"secretRef": {"name": secret, **({} if place is None else {"namespace": place})}}}
    [document] = placed(namespace, [backend(name, port, auth=auth)])
    return document


def outputs(stand: Stand) -> Iterator[tuple[str, str]]:
    """Everything that is shown of a stand to anybody, by where it is."""
    yield "the operator's log", stand.operator.log
    yield "the operator's metrics", stand.operator.page("/metrics")[1]
    for pod in stand.data.pods:
        yield f"{pod.name}'s log", pod.process.log
        for page in ("config", "credentials", "metrics", "readyz"):
            yield f"{pod.name}'s /{page}", _page(f"http://{pod.address}:{pod.admin_port}/{page}")
    for file in ("envoy.log", "access.log"):
        yield f"Envoy's {file}", (stand.data.envoy.folder / file).read_text()
    for path in ("config_dump", "stats"):
        yield f"Envoy's /{path}", _page(f"http://127.0.0.1:{stand.data.envoy.admin}/{path}")
    for kind in _KINDS:
        yield f"every {kind}", json.dumps(stand.api.list(kind))
    for name in ("llmroute-credentials", "llmroute-envoy-secrets"):
        yield f"the metadata of {name}", json.dumps(stand.api.get("Secret", stand.namespace, name)["metadata"])


def forms_of(marker: str) -> Iterator[str]:
    """A text as it is, and as base64 wherever in a longer text it begins."""
    yield marker
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + marker.encode()).decode()
        yield encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4]


def right_to(api: Api, namespace: str, account: Object, name: str, rules: list[dict[str, Any]]) -> None:
    """A Role with these rules, and the account has it."""
    rbac = "rbac.authorization.k8s.io"
    place = {"name": name, "namespace": namespace}
    api.apply({"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": place, "rules": rules})
    ref = {"apiGroup": rbac, "kind": "Role", "name": name}
    binding = {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": place}
    api.apply({**binding, "roleRef": ref, "subjects": [{"kind": "ServiceAccount", **account}]})


def _page(url: str) -> str:
    with suppress(urllib.error.HTTPError, OSError, HTTPException), urllib.request.urlopen(url, timeout=5) as page:
        return str(page.read().decode(errors="replace"))
    return ""
