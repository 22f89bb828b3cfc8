"""What Envoy Gateway says of our objects, said of the resources that they were made from. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from controller.api.findings import Subject
from controller.api.reasons import ConditionType, Reason
from controller.operator.gateway_plan import Key, Object, Settled, is_as_wanted, key_of
from controller.translate import Condition
from controller.translate.gateway_api import HTTP_ROUTE, POLICY, Attachment, GatewayObjects
from controller.translate.statuses import Truth

#: Of a parent's own words, characters that a message repeats.
_QUOTED: Final = 300

#: How bad a word is; the worst one is told.
_WORST_FIRST: Final = (Reason.PARENT_REFUSED, Reason.PARENT_UNRESOLVED, Reason.PARENT_SILENT)
_JUDGED: Final = {"Accepted": Reason.PARENT_REFUSED, "ResolvedRefs": Reason.PARENT_UNRESOLVED}
_PARENT: Final = ("group", "kind", "name", "namespace", "sectionName", "port")


class _Word(NamedTuple):
    reason: Reason
    text: str


def verdicts(
    wanted: GatewayObjects, live: Mapping[Key, Object], settled: Mapping[Key, Settled]
) -> dict[Subject, Condition]:
    """What stands between an object and its being served, of those of which there is something to say."""
    told: dict[Subject, Condition] = {}
    if wanted.settings is None:
        return told
    for attachment in wanted.attachments:
        words = [word for each in attachment.documents for word in _of(each, attachment, live, settled)]
        if words:
            told[attachment.subject] = _condition(words)
    for made in wanted.backends.values():
        words = list(_of_backend(live.get(key_of(made))))
        if words and (owner := _owner(made)) is not None:
            told[owner] = _condition(words)
    return told


def not_programmed(reason: Reason, message: str) -> Condition:
    """Programmed, as it is while Envoy Gateway is not, or cannot be, told."""
    return Condition(ConditionType.PROGRAMMED, "False", reason, _cut(message))


def _condition(words: Sequence[_Word]) -> Condition:
    worst = min(words, key=lambda word: _WORST_FIRST.index(word.reason))
    texts = dict.fromkeys(word.text for word in words if word.reason is worst.reason)
    status: Truth = "Unknown" if worst.reason is Reason.PARENT_SILENT else "False"
    return Condition(ConditionType.PROGRAMMED, status, worst.reason, "; ".join(list(texts)[:4]))


def _of(
    document: Object, attachment: Attachment, live: Mapping[Key, Object], settled: Mapping[Key, Settled]
) -> Iterator[_Word]:
    """What is said of one object of a route."""
    key = key_of(document)
    if document["kind"] not in {HTTP_ROUTE.kind, POLICY.kind}:
        return
    waiting = _Word(Reason.PARENT_SILENT, f"waiting for {', '.join(map(_name, attachment.parents))}")
    found = live.get(key)
    # With rules that linger an HTTPRoute has more than it shall have, and that is judged as a whole.
    if found is None or not (is_as_wanted(document, found, settled.get(key)) or _has_rules(found, document)):
        yield waiting
        return
    generation = int(found["metadata"].get("generation", 0))
    if document["kind"] == POLICY.kind:
        entries = [(each.get("ancestorRef") or {}, each) for each in _listed(found, "ancestors")]
        if not entries:
            yield waiting
        for ref, entry in entries:
            yield from _judged(f"EnvoyExtensionPolicy {key[2]} on {_name(ref)}", entry, generation, waiting)
        return
    for parent in attachment.parents:
        entries = [(parent, each) for each in _listed(found, "parents") if _is(each.get("parentRef"), parent, key[1])]
        if not entries:
            yield _Word(Reason.PARENT_SILENT, f"waiting for {_name(parent)}")
        for ref, entry in entries:
            yield from _judged(_name(ref), entry, generation, waiting)


def _has_rules(found: Object, document: Object) -> bool:
    """Whether an HTTPRoute has all the rules that it shall have, among others."""
    if document["kind"] != HTTP_ROUTE.kind:
        return False
    spec, wanted = found.get("spec") or {}, document["spec"]
    have = [str(rule.get("matches")) for rule in spec.get("rules") or ()]
    return spec.get("parentRefs") == wanted["parentRefs"] and all(str(r["matches"]) in have for r in wanted["rules"])


def _judged(who: str, entry: Mapping[str, Any], generation: int, waiting: _Word) -> Iterator[_Word]:
    said = {str(each.get("type")): each for each in entry.get("conditions") or () if isinstance(each, Mapping)}
    accepted = said.get("Accepted")
    if accepted is None or _is_old(accepted, generation) or accepted.get("status") == "Unknown":
        yield waiting
    for kind, reason in _JUDGED.items():
        word = said.get(kind)
        if word is not None and word.get("status") == "False" and not _is_old(word, generation):
            yield _Word(reason, _cut(f"{who}: {kind} is False, {word.get('reason')}: {word.get('message')}"))


def _of_backend(found: Object | None) -> Iterator[_Word]:
    """What is said of a Backend; nothing is no bad sign, as a Backend without a route is not looked at."""
    if found is None:
        return
    generation = int(found["metadata"].get("generation", 0))
    status = found.get("status")
    conditions: Iterable[Any] = (status.get("conditions") or ()) if isinstance(status, Mapping) else ()
    entry = {"conditions": [each for each in conditions if isinstance(each, Mapping)]}
    silent = _Word(Reason.PARENT_SILENT, "")
    words = _judged(f"Backend {found['metadata']['name']}", entry, generation, silent)
    yield from (word for word in words if word is not silent)


def _owner(made: Object) -> Subject | None:
    for owner in made["metadata"].get("ownerReferences", ()):
        return Subject(owner["kind"], made["metadata"]["namespace"], owner["name"])
    return None


def _is_old(condition: Mapping[str, Any], generation: int) -> bool:
    """Whether it speaks of the object as it was before an edit."""
    observed = condition.get("observedGeneration")
    return isinstance(observed, int) and observed < generation


def _listed(found: Object, field: str) -> list[Mapping[str, Any]]:
    status = found.get("status")
    listed = status.get(field) if isinstance(status, Mapping) else None
    return [each for each in listed or () if isinstance(each, Mapping)]


def _is(ref: Any, parent: Mapping[str, Any], namespace: str) -> bool:
    """Whether a status speaks of this parent; what is not said is the default."""
    if not isinstance(ref, Mapping):
        return False
    defaults = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": namespace}
    return all((ref.get(name) or defaults.get(name)) == (parent.get(name) or defaults.get(name)) for name in _PARENT)


def _name(ref: Mapping[str, Any]) -> str:
    namespace = f"{ref['namespace']}/" if ref.get("namespace") else ""
    section = f" listener {ref['sectionName']}" if ref.get("sectionName") else ""
    return f"{ref.get('kind', 'Gateway')} {namespace}{ref.get('name')}{section}"


def _cut(text: str) -> str:
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."
