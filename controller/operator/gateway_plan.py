"""What to write for Envoy Gateway, what to delete, and in which order. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from controller.api.findings import Subject
from controller.api.shape import GROUP
from controller.operator.ceasing import Ceased, ceased_now, stays
from controller.operator.settings import Settings
from controller.translate.gateway_api import GATEWAY_BACKEND, HTTP_ROUTE, GatewayObjects
from controller.translate.gateway_api.names import CONTROLLER_LABEL
from controller.translate.gateway_api.rules import maybe_key

Object = Mapping[str, Any]
#: Kind, namespace and name.
Key = tuple[str, str, str]
#: A route's namespace and name, and one of its keys.
RuleKey = tuple[str, str, str]

_OWNERS: Final = ("LLMRoute", "LLMBackend")


@dataclass(frozen=True, slots=True)
class Settled:
    """What an API server made of what we wrote: it knows fields and defaults of its own."""

    wanted: Object
    uid: str
    spec: Any


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is.

    Attributes:
        revision: the configuration in which what is not wanted now is no longer wanted.
        served: the revision that every processor serves at least; None when that is not known.
        now_s: by a monotonic clock, in seconds.
    """

    revision: int
    served: int | None
    now_s: float


@dataclass(frozen=True, slots=True)
class Work:
    """What to do: the writes, and when all of them have succeeded the deletions.

    Attributes:
        writes: whole objects for server-side apply; what others refer to comes before them.
        deletions: objects as they are; what refers to others comes before them.
        ceased: keys that nothing wants and a processor may still choose; their rules stay.
    """

    writes: tuple[dict[str, Any], ...] = ()
    deletions: tuple[dict[str, Any], ...] = ()
    ceased: Mapping[RuleKey, Ceased] = field(default_factory=dict)


def key_of(obj: Object) -> Key:
    """Which object it is."""
    metadata = obj["metadata"]
    return str(obj["kind"]), str(metadata["namespace"]), str(metadata["name"])


def owner_of(obj: Object) -> Subject | None:
    """The object of ours that it was made for; None for what we have not made."""
    metadata = obj["metadata"]
    if CONTROLLER_LABEL not in (metadata.get("labels") or {}):
        return None
    for owner in metadata.get("ownerReferences") or ():
        if str(owner.get("apiVersion", "")).startswith(f"{GROUP}/") and owner.get("kind") in _OWNERS:
            return Subject(str(owner["kind"]), str(metadata["namespace"]), str(owner["name"]))
    return None


def work(
    wanted: GatewayObjects,
    live: Mapping[Key, dict[str, Any]],
    settled: Mapping[Key, Settled],
    before: Mapping[RuleKey, Ceased],
    moment: Moment,
    settings: Settings,
) -> Work:
    """The difference between what shall be and what there is."""
    rules = _rules(live.values())
    held = {(each.subject.namespace, each.subject.name, key) for each in wanted.attachments for key in each.rules}
    routes = {(each.subject.namespace, each.subject.name) for each in wanted.attachments}
    unwanted = {key for key in rules if key not in held and key[:2] in routes}
    ceased = ceased_now(unwanted, before, moment.revision, moment.now_s, moment.served)
    ceased = {key: left for key, left in ceased.items() if stays(left, settings, moment.now_s)}
    documents = wanted.lingering(_by_route(ceased, rules)).documents
    kept = {key_of(each) for each in documents} | _referred(rules[key] for key in ceased)
    writes = [each for each in documents if not is_as_wanted(each, live.get(key_of(each)), settled.get(key_of(each)))]
    leaving = [obj for key, obj in live.items() if key not in kept and owner_of(obj) is not None]
    return Work(tuple(_without_gaps(writes, live)), tuple(sorted(leaving, key=_last_first)), ceased)


def is_as_wanted(wanted: Object, live: Object | None, settled: Settled | None = None) -> bool:
    """Whether an object has what we want of it. A server's own additions are told from an edit by ``settled``."""
    if live is None:
        return False
    have, want = live["metadata"], wanted["metadata"]
    if not contains(have.get("labels"), want["labels"]):
        return False
    owners = have.get("ownerReferences") or ()
    if not all(any(contains(owner, each) for owner in owners) for each in want.get("ownerReferences", ())):
        return False
    if settled is not None and settled.wanted == wanted["spec"] and settled.uid == have.get("uid"):
        return bool(live.get("spec") == settled.spec)
    return contains(live.get("spec"), wanted["spec"])


def contains(have: Any, want: Any) -> bool:
    """Whether all of ``want`` is there. Objects may have more fields; lists are the same length."""
    match want:
        case Mapping():
            return isinstance(have, Mapping) and all(name in have and contains(have[name], want[name]) for name in want)
        case list() | tuple():
            return isinstance(have, list) and len(have) == len(want) and all(map(contains, have, want))
        case _:
            return bool(have == want)


def _rules(objects: Iterable[Object]) -> dict[RuleKey, Mapping[str, Any]]:
    """The keyed rules that there are, by the route that they are for."""
    return {
        (owner.namespace, owner.name, key): rule
        for obj in objects
        if obj["kind"] == HTTP_ROUTE.kind and (owner := owner_of(obj)) is not None
        for key, rule in _keyed(obj)
    }


def _keyed(route: Object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    spec = route.get("spec")
    rules = spec.get("rules") if isinstance(spec, Mapping) else None
    for rule in rules or ():
        if (key := maybe_key(rule)) is not None:
            yield key, rule


def _by_route(
    keys: Iterable[RuleKey], rules: Mapping[RuleKey, Mapping[str, Any]]
) -> dict[Subject, list[Mapping[str, Any]]]:
    found: dict[Subject, list[Mapping[str, Any]]] = {}
    for key in keys:
        namespace, name, _ = key
        found.setdefault(Subject("LLMRoute", namespace, name), []).append(rules[key])
    return found


def _referred(rules: Iterable[Mapping[str, Any]]) -> set[Key]:
    """The Backends that rules lead to."""
    return {
        (GATEWAY_BACKEND.kind, str(ref.get("namespace")), str(ref.get("name")))
        for rule in rules
        for ref in rule.get("backendRefs") or ()
        if ref.get("kind") == GATEWAY_BACKEND.kind
    }


_ORDER: Final = {kind: place for place, kind in enumerate(("EnvoyExtensionPolicy", "HTTPRoute", "HTTPRouteFilter"))}


def _last_first(obj: Object) -> tuple[int, Key]:
    return _ORDER.get(str(obj["kind"]), len(_ORDER)), key_of(obj)


def _without_gaps(writes: Sequence[dict[str, Any]], live: Mapping[Key, Object]) -> Iterator[dict[str, Any]]:
    """The writes in an order in which a rule that moves to another HTTPRoute is there before it leaves the one."""
    pending = list(writes)
    keys = {key: {found for found, _ in _keyed(obj)} for key, obj in live.items() if key[0] == HTTP_ROUTE.kind}
    new = {key_of(each): {found for found, _ in _keyed(each)} for each in pending if each["kind"] == HTTP_ROUTE.kind}
    while pending:
        chosen = next((each for each in pending if not _gap(key_of(each), keys, new)), pending[0])
        pending.remove(chosen)
        if (key := key_of(chosen)) in new:
            keys[key] = new.pop(key)
        yield chosen


def _gap(key: Key, keys: Mapping[Key, Collection[str]], new: Mapping[Key, Collection[str]]) -> bool:
    """Whether writing an HTTPRoute now takes away a rule that another one of its namespace is still to get."""
    if key not in new:
        return False
    dropped = set(keys.get(key, ())) - set(new[key])
    return any(dropped & set(others) for other, others in new.items() if other != key and other[1] == key[1])
