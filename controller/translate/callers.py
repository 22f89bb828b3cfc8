"""Who may use a route: ``spec.clientAuth`` followed, into the processor's file of callers and Envoy's token providers.

Whatever is missing, the door stays shut: a rule never loses its ``clientAuth`` because something cannot be found.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import urlsplit

from controller.api.client_auth import MAX_JWKS, CallerKeys, CallerTokens
from controller.api.client_auth import ClientAuth as Wanted
from controller.api.findings import Finding, Subject
from controller.api.reasons import Reason
from controller.api.secrets import SecretRef
from controller.translate.canonical import canonical, file_name
from controller.translate.grants import Grant, permits
from controller.translate.issuers import Holders, holders_of, maybe_taken
from controller.translate.key_sets import UnusableKeySet, read_key_set
from controller.translate.reading import ReadRoute
from controller.translate.secret_references import Asking, secret_data
from controller.translate.secrets import Place
from controller.translate.snapshot import Snapshot
from controller.translate.upstreams import is_local
from extproc.config.auth import ClientAuth, ClientKeys, ClientTokens
from extproc.config.errors import quoted

#: The version of the processor's configuration since which it can say who may use a rule.
_SINCE_VERSION = 2

_PATH = "spec.clientAuth"
_KEYS_PATH = f"{_PATH}.apiKeys.secretRef"
_ID = re.compile(r"[A-Za-z0-9._-]{1,63}")
#: What fits into one header and is no word to guess.
_KEY = re.compile(rb"[!-~]{16,4096}")
#: Ids that one finding names.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Provider:
    """Tokens of one issuer for some audiences, as Envoy verifies them; ``name`` says all of the rest.

    ``keys`` is the issuer's key set as JSON, ``uri`` where it is; one of them is None.
    """

    name: str
    issuer: str
    audiences: tuple[str, ...]
    keys: str | None = None
    uri: str | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """What became of a route's ``clientAuth``.

    Attributes:
        client_auth: for the route's rules in the processor's file.
        refusal: why nobody can be let in at all; the rules answer 503 with it.
        file: the name and content of the file of callers.
        provider: what Envoy is to verify.
    """

    client_auth: ClientAuth | None = None
    refusal: str | None = None
    findings: tuple[Finding, ...] = ()
    file: tuple[str, bytes] | None = field(default=None, repr=False)
    provider: Provider | None = None


def doors(snapshot: Snapshot) -> dict[Subject, Door]:
    """The routes that ask who a caller is."""
    holders = holders_of(snapshot.routes)
    return {
        route.subject: _door(route.subject, route.spec.client_auth, snapshot, holders)
        for route in snapshot.routes
        if route.spec is not None and route.spec.client_auth is not None
    }


def places_of_callers(routes: Iterable[ReadRoute], grants: frozenset[Grant]) -> set[Place]:
    """The Secrets and ConfigMaps that must be read to know the callers; none that may not be used."""
    return {
        place
        for route in routes
        if route.spec is not None and route.spec.client_auth is not None
        for place in _places(route.subject, route.spec.client_auth, grants)
    }


def _places(subject: Subject, wanted: Wanted, grants: frozenset[Grant]) -> Iterator[Place]:
    own = subject.namespace
    if wanted.api_keys is not None:
        ref = wanted.api_keys.secret_ref
        place = ref.namespace or own
        if place == own or permits(grants, Grant(own, place, "", "Secret", ref.name, subject.kind)):
            yield "Secret", place, ref.name
    if wanted.jwt is not None and wanted.jwt.jwks_config_map_ref is not None:
        yield "ConfigMap", own, wanted.jwt.jwks_config_map_ref.name


def _door(subject: Subject, wanted: Wanted, snapshot: Snapshot, holders: Holders) -> Door:
    if snapshot.settings.config_version < _SINCE_VERSION:
        why = "an extproc pod is of a version that cannot tell callers apart, or none could be asked; upgrade extproc"
        return Door(refusal=why, findings=(Finding(subject, _PATH, why, Reason.PROCESSOR_TOO_OLD),))
    findings: list[Finding] = []
    keys, file, provider = None, None, None
    if wanted.api_keys is not None:
        keys = ClientKeys(file=_file_name(subject, wanted.api_keys))
        content, found = _callers(subject, wanted.api_keys, snapshot)
        file = None if content is None else (keys.file, content)
        findings += found
    if wanted.jwt is not None:
        followed = maybe_taken(subject, wanted.jwt, holders) or _provider(subject, wanted.jwt, snapshot)
        if isinstance(followed, Finding):
            findings.append(followed)
        else:
            provider = followed
    tokens = None if provider is None else ClientTokens(provider=provider.name)
    if keys is None and tokens is None:
        return Door(refusal="the key set that its callers' tokens are verified by is missing", findings=tuple(findings))
    return Door(ClientAuth(api_keys=keys, jwt=tokens), None, tuple(findings), file, provider)


def _file_name(subject: Subject, keys: CallerKeys) -> str:
    """Of the reference and not of what is behind it, so that a rotated key keeps the file."""
    return file_name(("_callers", subject.namespace, subject.name), keys.model_dump(mode="json"))


def _callers(subject: Subject, keys: CallerKeys, snapshot: Snapshot) -> tuple[bytes | None, list[Finding]]:
    """The file's content; what is wrong with one caller shuts out that one alone."""
    ref = SecretRef(name=keys.secret_ref.name, namespace=keys.secret_ref.namespace)
    data = secret_data(Asking(subject, _KEYS_PATH), ref, snapshot)
    if isinstance(data, Finding):
        return None, [data]
    hashes, findings = _hashes(subject, ref, data)
    if not data:
        message = f"Secret {quoted(ref.name)} is empty, so nobody is let in; add a caller's id with an API key"
        findings.append(Finding(subject, f"{_KEYS_PATH}.name", message, Reason.CREDENTIAL_KEY_NOT_FOUND))
    return canonical(hashes), findings


def _hashes(subject: Subject, ref: SecretRef, data: Mapping[str, bytes]) -> tuple[dict[str, str], list[Finding]]:
    hashes: dict[str, str] = {}
    known: dict[str, str] = {}
    unnamed, unusable, doubled = [], [], []
    for caller, value in sorted(data.items()):
        key = value.strip()
        hashed = sha256(key).hexdigest()
        if not _ID.fullmatch(caller):
            unnamed.append(f"{caller[:63]}...")
        elif not _KEY.fullmatch(key):
            unusable.append(caller)
        elif (first := known.setdefault(hashed, caller)) != caller:
            doubled.append(f"{caller} (as {first})")
        else:
            hashes[caller] = hashed
    told = (
        (unnamed, "a caller's id has at most 63 characters"),
        (unusable, "a caller's API key must be 16 to 4096 visible ASCII characters"),
        (doubled, "two callers have the same API key"),
    )
    where = f"in Secret {quoted(ref.name)}"
    return hashes, [
        Finding(
            subject,
            f"{_KEYS_PATH}.name",
            f"{where}, {what}: {_listed(ids)} are not let in",
            Reason.CREDENTIAL_MALFORMED,
        )
        for ids, what in told
        if ids
    ]


def _listed(ids: list[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return f"{', '.join(ids[:_NAMED])}{more}"


def _provider(subject: Subject, tokens: CallerTokens, snapshot: Snapshot) -> Provider | Finding:
    audiences = tuple(sorted(tokens.audiences))
    if tokens.jwks_uri is not None:
        if (fault := _maybe_uri_fault(tokens.jwks_uri)) is not None:
            return Finding(subject, f"{_PATH}.jwt.jwksURI", fault, Reason.CREDENTIAL_MALFORMED)
        host = urlsplit(tokens.jwks_uri).hostname or ""
        if not snapshot.settings.local_endpoints and is_local(host):
            fault = f"{quoted(host)} is on Envoy's own machine or link, where no key set of this cluster may be"
            return Finding(subject, f"{_PATH}.jwt.jwksURI", fault, Reason.TARGET_NOT_PERMITTED)
        return Provider(_name(tokens.issuer, audiences, tokens.jwks_uri), tokens.issuer, audiences, uri=tokens.jwks_uri)
    text = _key_set(subject, tokens, snapshot)
    if isinstance(text, Finding):
        return text
    path, what = f"{_PATH}.jwt.jwks", "the key set"
    if tokens.jwks_config_map_ref is not None:
        ref = tokens.jwks_config_map_ref
        path, what = f"{path}ConfigMapRef", f"the key {quoted(ref.key)} of ConfigMap {quoted(ref.name)}"
    try:
        keys = read_key_set(text)
    except UnusableKeySet as unusable:
        return Finding(subject, path, f"{what} {unusable}", Reason.CREDENTIAL_MALFORMED)
    return Provider(_name(tokens.issuer, audiences, keys), tokens.issuer, audiences, keys=keys)


def _name(issuer: str, audiences: tuple[str, ...], keys: str) -> str:
    """A digest that nobody can hit on purpose: who could would decide on another route's callers."""
    return f"jwt-{sha256(canonical([issuer, audiences, keys])).hexdigest()[:32]}"


def _maybe_uri_fault(uri: str) -> str | None:
    """What the pattern of the field lets through."""
    try:
        port = urlsplit(uri).port
    except ValueError:
        port = 0
    return "the port must be 1 to 65535" if port == 0 else None


def _key_set(subject: Subject, tokens: CallerTokens, snapshot: Snapshot) -> str | Finding:
    ref = tokens.jwks_config_map_ref
    if ref is None:
        return tokens.jwks or ""
    path = f"{_PATH}.jwt.jwksConfigMapRef"
    data = secret_data(Asking(subject, path), SecretRef(name=ref.name), snapshot, "ConfigMap")
    if isinstance(data, Finding):
        return data
    if ref.key not in data:
        message = f"ConfigMap {quoted(ref.name)} has no key {quoted(ref.key)}"
        return Finding(subject, f"{path}.key", message, Reason.CREDENTIAL_KEY_NOT_FOUND)
    if len(data[ref.key]) > MAX_JWKS:
        message = f"the key {quoted(ref.key)} of ConfigMap {quoted(ref.name)} has more than {MAX_JWKS} bytes"
        return Finding(subject, f"{path}.key", message, Reason.CREDENTIAL_MALFORMED)
    return data[ref.key].decode(errors="replace")
