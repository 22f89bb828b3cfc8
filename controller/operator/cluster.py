"""Every call to the API server that the operator makes.

Objects are plain dictionaries as the server sends them. A call that changes something asks the fence before
each attempt, and that is over in ``WRITE_LIMIT_S``: nothing of a former leader arrives after its Lease has run out.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import msgspec

from controller.operator.failures import (
    Busy,
    ClusterError,
    Conflict,
    Denied,
    Gone,
    NotLeading,
    Rejected,
    Unauthorized,
    Unreachable,
    failure_of,
)
from controller.operator.kinds import (
    ACCESS_REVIEWS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    NAMESPACES,
    PODS,
    SECRETS,
    Kind,
)
from controller.operator.transport import APPLY, FIELD_MANAGER, JSON, MERGE, Credentials, Object, Request, Transport

__all__ = [
    "WRITE_LIMIT_S",
    "Busy",
    "Cluster",
    "ClusterError",
    "Conflict",
    "Credentials",
    "Denied",
    "Gone",
    "Listing",
    "NotLeading",
    "Object",
    "Rejected",
    "Unauthorized",
    "Unreachable",
]

_log = logging.getLogger(__name__)

#: Seconds after which a write is given up.
WRITE_LIMIT_S = 3.0
_PAGE = 500
#: The server ends a watch by itself after this time; a little later its TCP peer is taken for dead.
_WATCH_S, _WATCH_LIMIT_S = 60, 70
#: What a watch is told when it begins with a version that the server no longer keeps.
_TOO_OLD = 410


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind at one moment, which ``resource_version`` names."""

    items: tuple[Object, ...]
    resource_version: int


class Cluster:
    """The API server. ``namespace`` is the operator's own; ``fence`` says whether this replica may write now.

    Every method raises only ``ClusterError`` and its kinds.
    """

    def __init__(self, transport: Transport, namespace: str, fence: Callable[[], bool] = lambda: True) -> None:
        self.namespace = namespace
        self.fence = fence
        #: The Deployment that owns what is made in our own namespace, by its name: with it all of that goes, too.
        self.owner: str | None = None
        self._owner_uid: str | None = None
        self._transport = transport

    @classmethod
    async def connect(cls, kubeconfig: str | None, context: str | None, namespace: str) -> Self:
        """Read how to reach the server, as a pod does or else as kubectl does. Nothing is sent yet."""
        return cls(await Transport.connect(kubeconfig, context), namespace)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def credentials(self) -> Credentials:
        """How to reach the server, read anew."""
        return await self._transport.credentials()

    async def list(self, kind: Kind, namespace: str | None, labels: str = "") -> Listing:
        """All objects, of one namespace or of all, with these labels.

        Raises ``Gone`` when the server does not have the kind.
        """
        items: list[Object] = []
        query = {"limit": str(_PAGE), **({"labelSelector": labels} if labels else {})}
        while True:
            page = await self._call(Request("GET", kind.path(namespace), query))
            # What every item is stands only once, above all of them.
            items += [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in page.get("items") or ()]
            version = _version_of(page)
            if not (token := page["metadata"].get("continue")):
                return Listing(tuple(items), version)
            query = {**query, "continue": token}

    async def namespaces(self) -> Listing:
        """All namespaces."""
        return await self.list(NAMESPACES, None)

    async def serves(self, kind: Kind) -> bool:
        """Whether the server has the kind."""
        try:
            found = await self._call(Request("GET", kind.root))
        except Gone:
            return False
        return any(resource.get("name") == kind.plural for resource in found.get("resources", ()))

    async def is_ready(self) -> bool:
        """Whether the server knows all that it serves; just after its start it denies having custom kinds."""
        try:
            await self._transport.call(Request("GET", "/readyz"))
        except Unreachable:
            return False
        except Denied:
            return True
        return True

    async def may(self, verb: str, group: str, resource: str, namespace: str | None) -> bool:
        """Whether RBAC lets us; ``namespace`` None: in all of them."""
        attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace or ""}
        body = _of(ACCESS_REVIEWS, spec={"resourceAttributes": attributes})
        review = await self._call(Request("POST", ACCESS_REVIEWS.path(), body=body))
        return bool(review.get("status", {}).get("allowed"))

    async def maybe_config_map(self, name: str) -> Object | None:
        """A ConfigMap of our own namespace."""
        return await self._maybe(Request("GET", CONFIG_MAPS.path(self.namespace, name)))

    async def follow_config_map(self, name: str) -> AsyncGenerator[Object | None, None]:
        """A ConfigMap of our own namespace now, and again whenever it changes; None while there is none.

        Ends now and then, and is to be called again. It is asked for by name, so that RBAC can be narrowed to it.
        """
        path, query = CONFIG_MAPS.path(self.namespace), {"fieldSelector": f"metadata.name={name}"}
        found = await self._call(Request("GET", path, query))
        yield next(iter(found.get("items") or ()), None)
        query |= {"watch": "true", "timeoutSeconds": str(_WATCH_S)}
        query["resourceVersion"] = str(_version_of(found))
        async with self._transport.stream(Request("GET", path, query, limit_s=_WATCH_LIMIT_S)) as lines:
            async for state in _states(lines):
                yield state

    async def maybe_object(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object of any namespace; None when there is none. Needs ``get`` for this name alone."""
        return await self._maybe(Request("GET", kind.path(namespace, name)))

    @asynccontextmanager
    async def watching(
        self, kind: Kind, namespace: str, name: str, limit_s: int = _WATCH_S
    ) -> AsyncIterator[AsyncIterator[Object | None]]:
        """One object's states from now on, None while there is none; the first tells nothing of one that is not there.

        Entered when the server has begun to tell, so what is asked then with ``maybe_object`` leaves no gap. Ends after
        ``limit_s`` seconds. Needs ``watch`` for this name alone, and never ``list``.
        """
        query = {"watch": "true", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": str(limit_s)}
        limit = float(limit_s + _WATCH_LIMIT_S - _WATCH_S)
        async with self._transport.stream(Request("GET", kind.path(namespace), query, limit_s=limit)) as lines:
            yield _states(lines)

    async def follow_secret(self, name: str) -> AsyncGenerator[Object | None, None]:
        """A Secret of our own namespace, as ``follow_config_map``."""
        async with self.watching(SECRETS, self.namespace, name) as states:
            yield await self.maybe_object(SECRETS, self.namespace, name)
            async for state in states:
                yield state

    async def apply_secret(self, body: Object) -> Object:
        """Make a Secret of our own namespace what ``body`` says, as ``apply_config_map``."""
        return await self._apply(SECRETS.path(self.namespace, body["metadata"]["name"]), await self._owned(body))

    async def prune_secret(self, name: str, keys: Collection[str], version: str) -> Object:
        """Take keys out of a Secret of our own namespace, whoever put them there.

        It must still have the ``resourceVersion``, else it is a ``Conflict``.
        """
        body = {"metadata": {"resourceVersion": version}, "data": dict.fromkeys(sorted(keys))}
        query = {"fieldManager": FIELD_MANAGER}
        return await self._write(Request("PATCH", SECRETS.path(self.namespace, name), query, body, MERGE))

    async def changes(
        self, kind: Kind, namespace: str | None, labels: str, since: int
    ) -> AsyncGenerator[tuple[str, Object], None]:
        """What happens to objects with these labels after a version: ``ADDED``, ``MODIFIED`` or ``DELETED``, and which.

        Ends now and then, or when the version is too old; then there is to be a new list.
        """
        query = {"labelSelector": labels, "resourceVersion": str(since)}
        query |= {"watch": "true", "timeoutSeconds": str(_WATCH_S)}
        async with self._transport.stream(Request("GET", kind.path(namespace), query, limit_s=_WATCH_LIMIT_S)) as lines:
            async for event in _events(lines):
                yield event

    async def apply_object(self, kind: Kind, body: Object, *, force: bool) -> Object:
        """Make an object of any namespace what ``body`` says.

        Without ``force`` it is a ``Conflict`` when somebody else has set a part of it to something else, an operator
        of another namespace included.
        """
        path = kind.path(body["metadata"]["namespace"], body["metadata"]["name"])
        manager = f"{FIELD_MANAGER}.{self.namespace}"
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._write(Request("PATCH", path, query, body, APPLY))

    async def delete_object(self, kind: Kind, obj: Object) -> None:
        """Delete this very object; one that is gone already is well, and so is another one of its name."""
        metadata = obj["metadata"]
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": metadata["uid"]}}
        try:
            await self._write(Request("DELETE", kind.path(metadata["namespace"], metadata["name"]), {}, body))
        except (Gone, Conflict):
            return

    async def pods(self, selector: str) -> Sequence[Object]:
        """The pods of our own namespace with these labels."""
        found = await self._call(Request("GET", PODS.path(self.namespace), {"labelSelector": selector}))
        return found.get("items") or ()

    async def apply_config_map(self, body: Object) -> Object:
        """Make a ConfigMap of our own namespace what ``body`` says, also where somebody else has edited it.

        With a ``metadata.resourceVersion`` it must still have that one, else it is a ``Conflict``.
        """
        return await self._apply(CONFIG_MAPS.path(self.namespace, body["metadata"]["name"]), await self._owned(body))

    async def apply_status(
        self, kind: Kind, namespace: str, name: str, status: Mapping[str, Any], *, uid: str = ""
    ) -> Object | None:
        """Write ``.status``; the object as it is then, or None when there is no such object any more.

        With a ``uid`` it must still be that one, else it is a ``Conflict``.
        """
        metadata = {"name": name, "namespace": namespace} | ({"uid": uid} if uid else {})
        body = _of(kind, metadata=metadata, status=dict(status))
        try:
            return await self._apply(kind.path(namespace, name, "status"), body)
        except Gone:
            return None

    async def replace_status(self, kind: Kind, obj: Object) -> Object | None:
        """Replace the whole ``.status`` of the object by that of ``obj``; None when there is no such object any more.

        Raises ``Conflict`` when the object has changed since ``obj`` was read.
        """
        metadata = obj["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"], "status")
        try:
            return await self._write(Request("PUT", path, {"fieldManager": FIELD_MANAGER}, obj, JSON))
        except Gone:
            return None

    async def annotate_pod(self, name: str, annotations: Mapping[str, str]) -> None:
        """Set annotations of a pod. Raises ``Gone`` when there is no such pod any more.

        By way of its status, as the right to patch a pod is the right to give it another image.
        """
        path, query = PODS.path(self.namespace, name, "status"), {"fieldManager": FIELD_MANAGER}
        await self._write(Request("PATCH", path, query, {"metadata": {"annotations": dict(annotations)}}, MERGE))

    async def post_event(self, body: Object) -> None:
        """Create an Event in the namespace that it names."""
        await self._write(Request("POST", EVENTS.path(body["metadata"]["namespace"]), {}, body))

    async def maybe_lease(self, name: str) -> Object | None:
        """A Lease of our own namespace. Leases decide who may write, so no fence stands before them."""
        return await self._maybe(Request("GET", LEASES.path(self.namespace, name), limit_s=WRITE_LIMIT_S))

    async def create_lease(self, body: Object) -> Object:
        """Create a Lease in our own namespace; ``Conflict`` when there is one already."""
        path = LEASES.path(self.namespace)
        return await self._call(Request("POST", path, {}, await self._owned(body), JSON, WRITE_LIMIT_S))

    async def replace_lease(self, body: Object) -> Object:
        """Replace a Lease; ``Conflict`` when it no longer has the resourceVersion that the body says."""
        path = LEASES.path(self.namespace, body["metadata"]["name"])
        return await self._call(Request("PUT", path, {}, await self._owned(body), JSON, WRITE_LIMIT_S))

    async def _owned(self, body: Object) -> Object:
        """The same with our Deployment as its owner, if there is to be one; one that is not found is done without."""
        if self.owner is not None and self._owner_uid is None:
            try:
                found = await self._call(Request("GET", DEPLOYMENTS.path(self.namespace, self.owner)))
                self._owner_uid = str(found["metadata"]["uid"])
            except (Denied, Gone) as error:
                _log.warning("--owner: what is made here stays when the Deployment goes, as it is not found: %s", error)
                self.owner = None
        if self.owner is None:
            return body
        owner = _of(DEPLOYMENTS, name=self.owner, uid=self._owner_uid)
        return {**body, "metadata": {**body["metadata"], "ownerReferences": [owner]}}

    async def _apply(self, path: str, body: Object) -> Object:
        return await self._write(Request("PATCH", path, {"fieldManager": FIELD_MANAGER, "force": "true"}, body, APPLY))

    async def _write(self, request: Request) -> Object:
        return _decoded(await self._transport.call(replace(request, limit_s=WRITE_LIMIT_S), self._check_lead))

    def _check_lead(self) -> None:
        if not self.fence():
            raise NotLeading("another replica may be the one that writes")

    async def _maybe(self, request: Request) -> Object | None:
        try:
            return await self._call(request)
        except Gone:
            return None

    async def _call(self, request: Request) -> Object:
        return _decoded(await self._transport.call(request))


def _of(kind: Kind, **parts: Any) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.name, **parts}


async def _states(lines: AsyncIterable[bytes]) -> AsyncIterator[Object | None]:
    """What the events of a watch say of one object; None: it is gone."""
    async for kind, obj in _events(lines):
        yield None if kind == "DELETED" else obj


async def _events(lines: AsyncIterable[bytes]) -> AsyncIterator[tuple[str, Object]]:
    """The events of a watch; ends when its version is one that the server no longer keeps."""
    async for line in lines:
        event = _decoded(line)
        kind, obj = event.get("type"), event.get("object")
        if not isinstance(obj, dict):
            raise Unreachable("the server's answer is no event of a watch")
        if kind == "ERROR" and obj.get("code") == _TOO_OLD:
            return
        if kind == "ERROR":
            raise failure_of(500, f"{obj.get('code')} {obj.get('message')}", None)
        yield str(kind), obj


def _decoded(content: bytes) -> Object:
    try:
        return msgspec.json.decode(content, type=Object)
    except msgspec.DecodeError:
        raise Unreachable("the server's answer is not a JSON object") from None


def _version_of(page: Object) -> int:
    try:
        return int(page["metadata"]["resourceVersion"])
    except (LookupError, TypeError, ValueError):
        raise Unreachable("the server's answer is no list of objects") from None
