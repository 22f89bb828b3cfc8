"""All that ``translate`` looks at, read and sorted out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from controller.api.backend import ENVOY_GATEWAY_GROUP
from controller.api.findings import Finding, Severity, Subject
from controller.api.reading import subject_of
from controller.api.reasons import Reason
from controller.api.shape import GROUP
from controller.translate.grants import GATEWAY_GROUP, Grant, read_grants
from controller.translate.reading import ReadBackend, ReadRoute, read_backend, read_route
from controller.translate.secret_documents import read_secrets
from controller.translate.secrets import SecretStore
from controller.translate.settings import Settings
from extproc.config.errors import nearest, quoted

#: Kinds that may stand in a file beside ours and are somebody else's to read.
_SILENT = (("", "Service"), ("", "Namespace"))

_OURS = ("LLMRoute", "LLMBackend")

#: Kinds of Envoy AI Gateway in the same group, which its own controller reads
#: (https://aigateway.envoyproxy.io/docs/api/, read 2026-11-22).
_THEIRS = ("AIGatewayRoute", "AIServiceBackend", "BackendSecurityPolicy", "GatewayConfig", "MCPRoute", "QuotaPolicy")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the world at one moment.

    Attributes:
        routes, backends: every LLMRoute and LLMBackend, broken ones included, each name once.
        targets: Envoy Gateway's Backends as they are, by namespace and name.
        grants: what the ReferenceGrants permit.
        services: the Services, by namespace and by name. Of a namespace that is missing nothing is known; with files
            that is so of all.
        secrets: what is known of Secrets, and of ConfigMaps with certificates: by namespace and name.
        findings: what is to be said of objects that are in none of these.
        unread: the kinds of which nothing can be known here, each with the reason why; ``KIND/NAMESPACE`` where that
            is so of one namespace.
    """

    routes: tuple[ReadRoute, ...] = ()
    backends: tuple[ReadBackend, ...] = ()
    targets: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    grants: frozenset[Grant] = frozenset()
    services: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    secrets: SecretStore = field(default_factory=SecretStore)
    settings: Settings = field(default_factory=Settings)
    findings: tuple[Finding, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    def blindness(self, kind: str, namespace: str) -> str:
        """What to add when an object is missing of which nothing could be known; mostly nothing."""
        why = self.unread.get(kind) or self.unread.get(f"{kind}/{namespace}")
        return "" if why is None else f"; {why}"

    @classmethod
    def of(cls, objects: Iterable[Mapping[str, Any] | None], settings: Settings | None = None) -> Self:
        """Read objects of any kind, in any order.

        Those that are being deleted are left out, and so is None, an empty document of a YAML file; of two with one
        name the first counts.
        """
        shelves: dict[str, dict[Subject, Mapping[str, Any]]] = {}
        findings: list[Finding] = []
        for obj in filter(None, objects):
            shelf = _maybe_shelf(obj)
            if shelf is None:
                findings += _unread(obj)
            elif not _is_leaving(obj):
                subject = subject_of(obj)
                if shelves.setdefault(shelf, {}).setdefault(subject, obj) is not obj:
                    findings.append(_duplicate(subject))
        backends = shelves.get("Backend", {})
        secrets, faults = read_secrets([*shelves.get("Secret", {}).values(), *shelves.get("ConfigMap", {}).values()])
        return cls(
            routes=tuple(map(read_route, shelves.get("LLMRoute", {}).values())),
            backends=tuple(map(read_backend, shelves.get("LLMBackend", {}).values())),
            targets={(subject.namespace, subject.name): obj for subject, obj in backends.items()},
            grants=frozenset(grant for obj in shelves.get("ReferenceGrant", {}).values() for grant in read_grants(obj)),
            secrets=secrets,
            settings=settings or Settings(),
            findings=(*findings, *faults),
        )


def _group(obj: Mapping[str, Any]) -> str:
    group, slash, _ = str(obj.get("apiVersion", "")).partition("/")
    return group if slash else ""


def _maybe_shelf(obj: Mapping[str, Any]) -> str | None:
    match _group(obj), obj.get("kind"):
        case str(group), ("LLMRoute" | "LLMBackend" as kind) if group == GROUP:
            return str(kind)
        case str(group), "Backend" if group == ENVOY_GATEWAY_GROUP:
            return "Backend"
        case str(group), "ReferenceGrant" if group == GATEWAY_GROUP:
            return "ReferenceGrant"
        case "", ("Secret" | "ConfigMap" as kind):
            return str(kind)
        case _:
            return None


def _is_leaving(obj: Mapping[str, Any]) -> bool:
    metadata = obj.get("metadata")
    return isinstance(metadata, Mapping) and metadata.get("deletionTimestamp") is not None


def _duplicate(subject: Subject) -> Finding:
    message = f"there are two objects {quoted(subject.name)} of this kind in namespace {quoted(subject.namespace)}; "
    return Finding(subject, "metadata.name", message + "the first one counts", Reason.DUPLICATE_OBJECT)


def _unread(obj: Mapping[str, Any]) -> list[Finding]:
    """An object of ours in the wrong group is a mistake, and so is a misspelt one; others may be meant for others."""
    kind, group = obj.get("kind"), _group(obj)
    if (group, kind) in _SILENT:
        return []
    if kind in _OURS:
        message, severity = f"an {kind} is of the group {GROUP}, not {quoted(group)}", Severity.ERROR
        return [Finding(subject_of(obj), "apiVersion", message, Reason.IGNORED_OBJECT, severity)]
    message, severity = f"objects of kind {quoted(str(kind))} in group {quoted(group)} are not read", Severity.WARNING
    if group == GROUP and (meant := _maybe_meant(str(kind))) is not None:
        message, severity = f"{message}; did you mean {quoted(meant)}?", Severity.ERROR
    return [Finding(subject_of(obj), "kind", message, Reason.IGNORED_OBJECT, severity)]


def _maybe_meant(kind: str) -> str | None:
    """The kind of ours that a word of the same group is a misspelling of, in whatever case."""
    if kind in _THEIRS:
        return None
    return nearest(kind, _OURS)
