"""What the objects are called, and how they are known again."""

from typing import NamedTuple

from controller.api.backend import ENVOY_GATEWAY_GROUP
from controller.api.findings import Subject
from controller.api.shape import API_VERSION
from controller.translate.canonical import digest
from controller.translate.envoy.documents import Document
from controller.translate.grants import GATEWAY_GROUP
from controller.translate.settings import GatewaySettings

#: Whose objects these are: the value is the namespace of the operator that made them.
CONTROLLER_LABEL = "llmroute.io/controller"

_LONGEST = 253


class ObjectKind(NamedTuple):
    """A kind of objects that this mode makes."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """What stands in ``apiVersion``."""
        return f"{self.group}/{self.version}"


HTTP_ROUTE = ObjectKind(GATEWAY_GROUP, "v1", "HTTPRoute")
POLICY = ObjectKind(ENVOY_GATEWAY_GROUP, "v1alpha1", "EnvoyExtensionPolicy")
FILTER = ObjectKind(ENVOY_GATEWAY_GROUP, "v1alpha1", "HTTPRouteFilter")
GATEWAY_BACKEND = ObjectKind(ENVOY_GATEWAY_GROUP, "v1alpha1", "Backend")


def document(
    kind: ObjectKind, owner: Subject, uid: str, name: str, spec: Document, settings: GatewaySettings
) -> Document:
    """An object in its owner's namespace, which goes when its owner goes.

    Without a ``uid``, as from a file, nobody is named as the owner.
    """
    metadata: Document = {
        "name": name,
        "namespace": owner.namespace,
        "labels": {
            "app.kubernetes.io/managed-by": "llmroute-controller",
            "app.kubernetes.io/part-of": "llmroute",
            CONTROLLER_LABEL: settings.controller,
        },
    }
    if uid:
        metadata["ownerReferences"] = [
            {"apiVersion": API_VERSION, "kind": owner.kind, "name": owner.name, "uid": uid, "controller": True}
        ]
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}


def object_name(owner: str, suffix: str = "") -> str:
    """``llmroute-OWNER`` and a suffix; one that would be too long is cut, and told from others by a digest."""
    tail = f"-{suffix}" if suffix else ""
    name = f"llmroute-{owner}{tail}"
    if len(name) <= _LONGEST:
        return name
    tail = f"-{digest(owner)}{tail}"
    return f"{name[: _LONGEST - len(tail)].rstrip('-.')}{tail}"
