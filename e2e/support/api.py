"""The Kubernetes API over plain HTTP: what a test does to a cluster must not go through the code that it tests."""

import http.client
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

Object = Mapping[str, Any]

_LIMIT_S = 30.0
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where objects of one kind live: ``/api/v1`` or ``/apis/GROUP/VERSION``, and their plural."""

    prefix: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Of the collection, of an object, or of a part of it."""
        scope = ["namespaces", namespace] if self.namespaced and namespace else []
        return "/".join([self.prefix, *scope, *filter(None, (self.plural, name, subresource))])


_CORE, _RBAC = "/api/v1", "/apis/rbac.authorization.k8s.io/v1"
_OURS = "/apis/aigateway.envoyproxy.io/v1alpha1"
PLACES: Mapping[str, Place] = {
    "Namespace": Place(_CORE, "namespaces", namespaced=False),
    "ConfigMap": Place(_CORE, "configmaps"),
    "Endpoints": Place(_CORE, "endpoints"),
    "Event": Place(_CORE, "events"),
    "Pod": Place(_CORE, "pods"),
    "Secret": Place(_CORE, "secrets"),
    "Service": Place(_CORE, "services"),
    "ServiceAccount": Place(_CORE, "serviceaccounts"),
    "Role": Place(_RBAC, "roles"),
    "RoleBinding": Place(_RBAC, "rolebindings"),
    "ClusterRole": Place(_RBAC, "clusterroles", namespaced=False),
    "ClusterRoleBinding": Place(_RBAC, "clusterrolebindings", namespaced=False),
    "CustomResourceDefinition": Place("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False),
    "Deployment": Place("/apis/apps/v1", "deployments"),
    "ReplicaSet": Place("/apis/apps/v1", "replicasets"),
    "Lease": Place("/apis/coordination.k8s.io/v1", "leases"),
    "ReferenceGrant": Place("/apis/gateway.networking.k8s.io/v1beta1", "referencegrants"),
    "Backend": Place("/apis/gateway.envoyproxy.io/v1alpha1", "backends"),
    "HTTPRoute": Place("/apis/gateway.networking.k8s.io/v1", "httproutes"),
    "EnvoyExtensionPolicy": Place("/apis/gateway.envoyproxy.io/v1alpha1", "envoyextensionpolicies"),
    "HTTPRouteFilter": Place("/apis/gateway.envoyproxy.io/v1alpha1", "httproutefilters"),
    "LLMRoute": Place(_OURS, "llmroutes"),
    "LLMBackend": Place(_OURS, "llmbackends"),
}


class Refused(Exception):
    """The API server said no. ``status`` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


@dataclass
class Api:
    """A user of the API server at ``url``; for any thread. Connections are kept, one for each thread."""

    url: str
    ca: Path
    token: str
    _kept: threading.local = field(default_factory=threading.local)
    _all: list[http.client.HTTPSConnection] = field(default_factory=list)

    def create(self, body: Object) -> dict[str, Any]:
        """POST."""
        return self._object("POST", _place(body).path(_namespace(body)), body)

    def post(self, path: str, body: Object) -> dict[str, Any]:
        """POST to a subresource, such as a pod's binding."""
        return self._object("POST", path, body)

    def apply(self, body: Object, manager: str = "e2e", subresource: str | None = None) -> dict[str, Any]:
        """Server-side apply, forced."""
        path = _place(body).path(_namespace(body), body["metadata"]["name"], subresource)
        return self._object("PATCH", f"{path}?fieldManager={manager}&force=true", body, _APPLY)

    def merge(
        self, kind: str, namespace: str | None, name: str, patch: Object, subresource: str | None = None
    ) -> dict[str, Any]:
        """A JSON merge patch."""
        return self._object("PATCH", PLACES[kind].path(namespace, name, subresource), patch, _MERGE)

    def get(self, kind: str, namespace: str | None, name: str) -> dict[str, Any]:
        """One object. Raises ``Refused`` with 404 when it is not there."""
        return self._object("GET", PLACES[kind].path(namespace, name))

    def maybe_get(self, kind: str, namespace: str | None, name: str) -> dict[str, Any] | None:
        """One object, None when it is not there."""
        try:
            return self.get(kind, namespace, name)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def list(self, kind: str, namespace: str | None = None, **query: str) -> list[dict[str, Any]]:
        """All of a kind, in one namespace or in all."""
        path = PLACES[kind].path(namespace)
        found: list[dict[str, Any]] = self._object("GET", f"{path}?{urlencode(query)}")["items"]
        return found

    def delete(self, kind: str, namespace: str | None, name: str) -> None:
        """Delete at once; what is gone already is well."""
        try:
            self._object("DELETE", f"{PLACES[kind].path(namespace, name)}?gracePeriodSeconds=0")
        except Refused as refused:
            if refused.status != 404:
                raise

    def delete_all(self, kind: str, namespace: str) -> None:
        """Delete all of a kind in a namespace."""
        self._object("DELETE", PLACES[kind].path(namespace))

    def token_of(self, namespace: str, account: str) -> str:
        """A token for a ServiceAccount, valid for an hour."""
        path = PLACES["ServiceAccount"].path(namespace, account, "token")
        spec = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        token: str = self._object("POST", path, spec)["status"]["token"]
        return token

    def healthy(self) -> bool:
        """Whether the server is there and ready."""
        try:
            self._text("GET", "/readyz")
        except (OSError, http.client.HTTPException, Refused):
            return False
        return True

    def watch(self, kind: str, namespace: str, since: str, **query: str) -> "Watch":
        """What happens after a resource version."""
        asked = urlencode({"watch": "1", "resourceVersion": since, "timeoutSeconds": "3600", **query})
        connection = self._connect(None)
        connection.request("GET", f"{PLACES[kind].path(namespace)}?{asked}", headers=self._headers(None))
        return Watch(connection)

    def close(self) -> None:
        """Close what is kept, of all threads."""
        while self._all:
            self._all.pop().close()

    def _object(
        self, method: str, path: str, body: Object | None = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self._text(method, path, body, content_type))
        return parsed

    def _text(self, method: str, path: str, body: Object | None = None, content_type: str = "application/json") -> str:
        status, text = self._answer(method, path, body, content_type)
        if status >= 400:
            raise Refused(status, _message(text))
        return text

    def _answer(self, method: str, path: str, body: Object | None, content_type: str) -> tuple[int, str]:
        """A kept connection may have died meanwhile, as when the server was killed: then on a new one."""
        sent = None if body is None else json.dumps(body).encode()
        for attempt in (0, 1):
            connection, is_new = self._connection()
            try:
                connection.request(method, path, sent, self._headers(content_type if sent else None))
                response = connection.getresponse()
                return response.status, response.read().decode()
            except (OSError, http.client.HTTPException):
                connection.close()
                if is_new or attempt:
                    raise
        raise AssertionError("unreachable")

    def _connection(self) -> tuple[http.client.HTTPSConnection, bool]:
        kept: http.client.HTTPSConnection | None = getattr(self._kept, "connection", None)
        if kept is not None and kept.sock is not None:
            return kept, False
        self._kept.connection = made = self._connect(_LIMIT_S)
        self._all.append(made)
        return made, True

    def _connect(self, limit_s: float | None) -> http.client.HTTPSConnection:
        place = urlsplit(self.url)
        trusted = ssl.create_default_context(cafile=str(self.ca))
        return http.client.HTTPSConnection(str(place.hostname), place.port, timeout=limit_s, context=trusted)

    def _headers(self, content_type: str | None) -> dict[str, str]:
        headers = {"authorization": f"Bearer {self.token}", "accept": "application/json", "user-agent": "e2e"}
        return headers if content_type is None else {**headers, "content-type": content_type}


class Watch:
    """Events as they come, until the server ends them or somebody says ``stop``.

    Iterating raises ``OSError`` or ``HTTPException`` when the connection breaks, ``Refused`` when the server says no.
    """

    def __init__(self, connection: http.client.HTTPSConnection) -> None:
        self._connection = connection
        # Its own handle on the connection: what another thread does to this one disturbs no reader's state.
        self._handle = socket.socket(fileno=os.dup(connection.sock.fileno()))

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        response = self._connection.getresponse()
        if response.status != 200:
            text = response.read().decode()
            raise Refused(response.status, _message(text))
        while line := response.readline():
            event = json.loads(line)
            yield event["type"], event["object"]

    def stop(self) -> None:
        """End it, from any thread."""
        with suppress(OSError):
            self._handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give back what it holds."""
        self._handle.close()
        self._connection.close()


def _place(body: Object) -> Place:
    return PLACES[body["kind"]]


def _namespace(body: Object) -> str | None:
    namespace: str | None = body["metadata"].get("namespace")
    return namespace


def _message(text: str) -> str:
    try:
        return str(json.loads(text).get("message", text))
    except ValueError:
        return text
