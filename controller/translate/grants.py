"""ReferenceGrants: who may lead traffic into another namespace (https://gateway-api.sigs.k8s.io/api-types/referencegrant/)."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from controller.api.shape import GROUP

GATEWAY_GROUP = "gateway.networking.k8s.io"

_OURS = ("LLMBackend", "LLMRoute")


class Grant(NamedTuple):
    """Our objects of one namespace and kind may refer to one kind in another; ``name`` None: to all of them."""

    from_namespace: str
    to_namespace: str
    group: str
    kind: str
    name: str | None
    from_kind: str = "LLMBackend"


def read_grants(obj: Mapping[str, Any]) -> Iterator[Grant]:
    """What a ReferenceGrant permits to our kinds. Parts that cannot be read permit nothing."""
    namespace = _text(obj.get("metadata"), "namespace") or "default"
    spec = obj.get("spec")
    for source in _parts(spec, "from"):
        from_kind = _text(source, "kind")
        if _text(source, "group") != GROUP or from_kind not in _OURS:
            continue
        for target in _parts(spec, "to"):
            kind, origin = _text(target, "kind"), _text(source, "namespace")
            if kind and origin:
                yield Grant(origin, namespace, _text(target, "group") or "", kind, _text(target, "name"), from_kind)


def permits(grants: frozenset[Grant], wanted: Grant) -> bool:
    """Whether a reference to one named object is granted."""
    return wanted in grants or wanted._replace(name=None) in grants


def _parts(spec: Any, field: str) -> Iterator[Any]:
    parts = spec.get(field) if isinstance(spec, Mapping) else None
    yield from parts if isinstance(parts, list) else ()


def _text(part: Any, field: str) -> str | None:
    value = part.get(field) if isinstance(part, Mapping) else None
    return value if isinstance(value, str) else None
