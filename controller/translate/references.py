"""What the objects name, followed: each rule with the backends it can really use."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controller.api.durations import in_seconds, milliseconds
from controller.api.findings import Finding, Severity
from controller.api.reasons import Reason
from controller.api.route import RouteBackendRef
from controller.translate.canonical import digest
from controller.translate.credentials import Credential, can_refuse, credential_of, maybe_unsaid, told
from controller.translate.expressible import maybe_inexpressible
from controller.translate.reading import ReadBackend, ReadRoute, ReadRule
from controller.translate.snapshot import Snapshot
from controller.translate.upstream_tls import UpstreamTls
from controller.translate.upstreams import Upstream, upstream_of
from extproc.config.errors import nearest, quoted
from extproc.config.names import keyed

#: Backends of a namespace above which nobody guesses what a name was meant to be; a guess takes about 10 µs for each.
_GUESSED_AMONG = 100

#: Unresolved backends that a refusal names; clients read it.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class ResolvedBackend:
    """A backend; without an ``upstream`` it is not in any configuration.

    Attributes:
        fingerprint: changes with where the upstream is, with what it understands and with where its credential comes
            from, and with nothing else.
    """

    read: ReadBackend
    upstream: Upstream | None
    findings: tuple[Finding, ...]
    fingerprint: str = ""
    credential: Credential = field(default_factory=Credential)

    @property
    def is_reached(self) -> bool:
        """Whether anything may be sent to it: there is an upstream, and it is known how to speak to it."""
        return self.upstream is not None and self.upstream.tls.fault is None

    @property
    def refusal(self) -> str | None:
        """What its share of the requests is answered. Were it left out instead, others would get that share."""
        if self.upstream is None or self.is_reached:
            return None
        return "a certificate that it needs is missing or cannot be used"

    @property
    def lack(self) -> str | None:
        """What it answers 503 without; None when it has everything."""
        if self.refusal is not None:
            return "a certificate"
        return "its credential" if self.credential.is_missing else None

    @property
    def name(self) -> str:
        """Its name in the configuration of extproc and Envoy: ``namespace/name``."""
        return f"{self.read.subject.namespace}/{self.read.subject.name}"

    def keyed(self, key: str) -> str:
        """A route's or a cluster's name in Envoy, for this very upstream.

        A backend that is changed in place is thereby a new route and a new cluster. The processor's file and Envoy's
        reach their pods in any order, and a request that was written, or signed, for the old upstream must not meet the
        new one under the same name.
        """
        return keyed(key, self.fingerprint)


@dataclass(frozen=True, slots=True)
class Choice:
    """One backend of a rule. ``timeout_ms`` None: no limit on the whole of a request."""

    backend: str
    weight: int
    model_name_override: str | None
    timeout_ms: int | None

    @property
    def route_key(self) -> str:
        """By what Envoy picks the route: the backend, and how long it may take; before ``ResolvedBackend.keyed``."""
        return self.backend if self.timeout_ms is None else f"{self.backend};timeout={in_seconds(self.timeout_ms)}"


@dataclass(frozen=True, slots=True)
class ResolvedRule:
    """A rule as it will be served. With a ``refusal`` it answers 503 and has no choices."""

    read: ReadRule
    source: str
    choices: tuple[Choice, ...]
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class ResolvedRoute:
    """A route; without rules nothing of it is served. ``named`` and ``usable`` count its distinct backends."""

    read: ReadRoute
    rules: tuple[ResolvedRule, ...]
    findings: tuple[Finding, ...]
    named: int = 0
    usable: int = 0


def resolve_backends(snapshot: Snapshot) -> dict[str, ResolvedBackend]:
    """All backends by their names in the configuration, in the order of those names."""
    resolved = (_resolved(read, snapshot) for read in sorted(snapshot.backends, key=lambda read: read.subject))
    return {backend.name: backend for backend in resolved}


class Catalog:
    """The backends by their names in the configuration, and guesses at names that are not among them."""

    def __init__(self, backends: Mapping[str, ResolvedBackend]) -> None:
        self._backends = backends
        self._names: dict[str, list[str]] = {}
        for backend in backends.values():
            self._names.setdefault(backend.read.subject.namespace, []).append(backend.read.subject.name)
        self._guesses: dict[tuple[str, str], str | None] = {}

    def maybe_backend(self, namespace: str, name: str) -> ResolvedBackend | None:
        """One of these; None when there is none."""
        return self._backends.get(f"{namespace}/{name}")

    def maybe_meant(self, namespace: str, name: str) -> str | None:
        """A near name in the same namespace; what others call theirs is not a route's business."""
        names = self._names.get(namespace, [])
        if len(names) > _GUESSED_AMONG:
            return None
        key = namespace, name
        if key not in self._guesses:
            self._guesses[key] = nearest(name, names)
        return self._guesses[key]

    def prospects(self, read: ReadRoute) -> tuple[str, ...]:
        """All that a route's resolution depends on beside the route: what there is to say of each reference in turn."""
        namespace = read.subject.namespace
        return tuple(self._prospect(namespace, ref.name) for rule in read.rules for ref in rule.rule.backend_refs)

    def _prospect(self, namespace: str, name: str) -> str:
        backend = self.maybe_backend(namespace, name)
        if backend is None:
            return f"missing {self.maybe_meant(namespace, name)}"
        if backend.upstream is None:
            return f"unusable {backend.findings[0]}"
        return "" if backend.lack is None else f"without {backend.lack}"


def _resolved(read: ReadBackend, snapshot: Snapshot) -> ResolvedBackend:
    match upstream_of(read, snapshot):
        case Finding() as finding:
            return ResolvedBackend(read, None, (*read.findings, finding))
        case None:
            return ResolvedBackend(read, None, read.findings)
        case _ if snapshot.settings.gateway is not None and (fault := maybe_inexpressible(read)) is not None:
            return ResolvedBackend(read, None, (*read.findings, fault))
        case _ if (fault := maybe_unsaid(read, snapshot)) is not None:
            return ResolvedBackend(read, None, (*read.findings, fault))
        case Upstream(tls=UpstreamTls(fault=Finding() as fault)) if not can_refuse(snapshot):
            return ResolvedBackend(read, None, (*read.findings, fault))
        case upstream:
            credential = credential_of(read, upstream, snapshot)
            faults = () if upstream.tls.fault is None else (upstream.tls.fault,)
            findings = (*read.findings, *faults, *credential.findings)
            return ResolvedBackend(read, upstream, findings, _fingerprint(read, upstream), credential)


def _fingerprint(read: ReadBackend, upstream: Upstream) -> str:
    spec = read.spec
    assert spec is not None
    place = upstream.endpoints, upstream.authority, upstream.tls_name, *upstream.traits
    gcp = None if spec.place is None else spec.place.model_dump()
    auth = () if spec.auth is None else (told(spec.auth),)
    return digest([place, spec.output_schema.model_dump(), gcp, *auth])


def resolve_route(read: ReadRoute, catalog: Catalog) -> ResolvedRoute:
    """A route with what it names; depends on the two of them, and on the catalog by ``Catalog.prospects`` alone."""
    rules: list[ResolvedRule] = []
    findings = list(read.findings)
    for rule in read.rules:
        resolved, found = _rule(read, rule, catalog)
        rules.append(resolved)
        findings += found
    named = {ref.name for rule in read.rules for ref in rule.rule.backend_refs}
    usable = {choice.backend for rule in rules for choice in rule.choices}
    return ResolvedRoute(read, tuple(rules), tuple(findings), len(named), len(usable))


def _rule(route: ReadRoute, read: ReadRule, catalog: Catalog) -> tuple[ResolvedRule, list[Finding]]:
    assert route.metadata is not None
    place = read.rule.name or f"rules[{read.index}]"
    subject = route.subject
    source = f"{subject.namespace}/{subject.name}@{route.metadata.generation}#{place}"
    if read.fault is not None:
        return ResolvedRule(read, source, (), f"it is not valid: {read.fault}"), []
    timeout_ms = _timeout_ms(read)
    choices: list[Choice] = []
    findings: list[Finding] = []
    for j, ref in enumerate(read.rule.backend_refs):
        match _reference(route, f"spec.rules[{read.index}].backendRefs[{j}].name", ref, catalog):
            case Finding() as finding:
                findings.append(finding)
            case ResolvedBackend() as backend:
                choices.append(Choice(backend.name, ref.weight, ref.model_name_override, timeout_ms))
                if backend.lack is not None:
                    findings.append(_lacking(route, read, j, backend.lack))
    if choices:
        return ResolvedRule(read, source, tuple(choices)), [*findings, *_doubtful(route, read, choices)]
    if not findings:
        findings.append(
            _warning(
                route, f"spec.rules[{read.index}].backendRefs", "there are none, so it answers 503", Reason.NO_BACKENDS
            )
        )
    return ResolvedRule(read, source, (), _refusal(read)), findings


def _timeout_ms(read: ReadRule) -> int | None:
    timeouts = read.rule.timeouts
    if timeouts is None or timeouts.request is None:
        return None
    return milliseconds(timeouts.request) or None


def _reference(route: ReadRoute, path: str, ref: RouteBackendRef, catalog: Catalog) -> ResolvedBackend | Finding:
    namespace = route.subject.namespace
    backend = catalog.maybe_backend(namespace, ref.name)
    if backend is None:
        guess = catalog.maybe_meant(namespace, ref.name)
        hint = "" if guess is None else f"; did you mean {quoted(guess)}?"
        message = f"LLMBackend {quoted(ref.name)} not found in namespace {quoted(namespace)}{hint}"
        return Finding(route.subject, path, message, Reason.BACKEND_NOT_FOUND)
    if backend.upstream is None:
        message = f"LLMBackend {quoted(ref.name)} cannot be used: {backend.findings[0]}"
        return Finding(route.subject, path, message, Reason.BACKEND_UNUSABLE)
    return backend


def _refusal(read: ReadRule) -> str:
    """Said to clients. It depends on this rule alone: a guess at what was meant would change with other objects."""
    names = [quoted(ref.name) for ref in read.rule.backend_refs]
    if not names:
        return "it has no backends"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"none of its backends can be used: {', '.join(names[:_NAMED])}{more}"


def _doubtful(route: ReadRoute, read: ReadRule, choices: list[Choice]) -> Iterator[Finding]:
    path = f"spec.rules[{read.index}].backendRefs"
    if not any(choice.weight for choice in choices):
        yield _warning(route, path, "every usable backend has weight 0, so it answers 503", Reason.ZERO_WEIGHTS)
    seen: dict[tuple[str, str | None], int] = {}
    for j, ref in enumerate(read.rule.backend_refs):
        if (first := seen.setdefault((ref.name, ref.model_name_override), j)) != j:
            message = f"{quoted(ref.name)} is backendRefs[{first}] already; both weights count"
            yield _warning(route, f"{path}[{j}].name", message, Reason.DUPLICATE_BACKEND)


def _lacking(route: ReadRoute, read: ReadRule, j: int, lack: str) -> Finding:
    name = quoted(read.rule.backend_refs[j].name)
    path = f"spec.rules[{read.index}].backendRefs[{j}].name"
    message = f"LLMBackend {name} lacks {lack}, without which it answers 503; its own status says why"
    return _warning(route, path, message, Reason.BACKEND_WITHOUT_CREDENTIAL)


def _warning(route: ReadRoute, path: str, message: str, reason: Reason) -> Finding:
    return Finding(route.subject, path, message, reason, Severity.WARNING)
