"""What is known of the cluster's objects.

Objects come from three sides and in no certain order: as events of a watch, in complete lists, and as answers to our
own writes. Versions decide what is newer, and a list decides what is gone: a watch that was interrupted never tells.
Objects are never changed once they are here.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from controller.api.findings import Subject
from controller.api.reading import subject_of
from controller.operator.kinds import KINDS, Kind
from controller.translate.canonical import canonical

Object = Mapping[str, Any]


class Change(Enum):
    """What an object that came in was: nothing new, news that no compilation looks at, or real news."""

    NONE = 0
    STATUS = 1
    CONTENT = 2


@dataclass(slots=True)
class _Shelf:
    """One kind. ``buried`` holds deleted objects by identity, for as long as an older list may still name them."""

    objects: dict[Subject, Object] = field(default_factory=dict)
    buried: dict[str, int] = field(default_factory=dict)
    listed: bool = False


class Store:
    """All objects of all kinds that are read.

    ``content`` and ``status`` count changes, so that whoever saw one number can tell later whether there is news.
    """

    def __init__(self, kinds: Iterable[Kind] = KINDS) -> None:
        self._shelves = {kind: _Shelf() for kind in kinds}
        self._by_name = {kind.name: kind for kind in self._shelves}
        self.content = 0
        self.status = 0

    def put(self, kind: Kind, obj: Object, *, deleted: bool = False) -> Change:
        """Take in what an event says of one object."""
        return self._count(self._put(kind, obj, deleted=deleted))

    def answered(self, kind: Kind, obj: Object) -> Change:
        """Take in what the answer to a write of our own says of one object that is known.

        It may come late, when a list has dropped the object or another one of its name is there: then it says nothing.
        """
        known = self._shelves[kind].objects.get(subject_of(obj))
        if known is None or _uid(known) != _uid(obj):
            return Change.NONE
        return self.put(kind, obj)

    def resync(self, kind: Kind, items: Iterable[Object], resource_version: int, unseen: Collection[str] = ()) -> bool:
        """Take in a complete list of a kind, and drop what it lacks. Says whether any content changed.

        An object that is newer than the list stays, and so do those in ``unseen`` namespaces, which it leaves out.
        """
        shelf = self._shelves[kind]
        present, before = set[Subject](), self.content
        for item in items:
            present.add(subject_of(item))
            self.put(kind, item)
        for subject in [known for known in shelf.objects if known not in present and known.namespace not in unseen]:
            if _version(shelf.objects[subject]) <= resource_version:
                del shelf.objects[subject]
                self._count(Change.CONTENT)
        shelf.buried = {uid: version for uid, version in shelf.buried.items() if version > resource_version}
        shelf.listed = True
        return self.content != before

    def forget(self, kind: Kind) -> None:
        """The kind itself is gone, and so is every object of it."""
        if self._shelves[kind].objects:
            self._count(Change.CONTENT)
        self._shelves[kind] = _Shelf()

    def is_complete(self, kinds: Iterable[Kind]) -> bool:
        """Whether each of these kinds has been listed."""
        return all(self._shelves[kind].listed for kind in kinds)

    def has(self, kind: Kind, obj: Object) -> bool:
        """Whether the object is known in this state, or a newer one: as after a write of our own, which is answered."""
        known = self._shelves[kind].objects.get(subject_of(obj))
        return known is not None and _uid(known) == _uid(obj) and _version(known) >= _version(obj)

    def get(self, subject: Subject) -> Object | None:
        """One object, by its kind's name, namespace and name; None when there is none."""
        return self._shelves[self._by_name[subject.kind]].objects.get(subject)

    def objects(self, kind: Kind) -> Sequence[Object]:
        """All objects of a kind as they are now."""
        return tuple(self._shelves[kind].objects.values())

    def _count(self, change: Change) -> Change:
        self.content += change is Change.CONTENT
        self.status += change is Change.STATUS
        return change

    def _put(self, kind: Kind, obj: Object, *, deleted: bool) -> Change:
        shelf, subject, obj = self._shelves[kind], subject_of(obj), _trimmed(obj)
        uid, known = _uid(obj), shelf.objects.get(subject)
        if deleted:
            shelf.buried[uid] = _version(obj)
            if known is None or _uid(known) != uid:
                return Change.NONE
            del shelf.objects[subject]
            return Change.CONTENT
        if uid in shelf.buried:
            return Change.NONE
        if known is None or _uid(known) != uid:
            shelf.objects[subject] = obj
            return Change.CONTENT
        if _version(obj) <= _version(known):
            return Change.NONE
        shelf.objects[subject] = obj
        return Change.STATUS if content_key(obj) == content_key(known) else Change.CONTENT


def content_key(obj: Object) -> tuple[Any, ...]:
    """What changes with everything that a compilation looks at, and with nothing else where the server tells.

    The generation of a custom resource counts changes of its spec and its deletion; kinds without one are compared.
    """
    metadata = obj["metadata"]
    generation = metadata.get("generation") or canonical([obj.get("spec"), metadata.get("deletionTimestamp")])
    return metadata.get("uid"), generation


def _trimmed(obj: Object) -> Object:
    """Without what nobody here looks at and what is often the larger half."""
    metadata = obj["metadata"]
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _uid(obj: Object) -> str:
    return str(obj["metadata"].get("uid", ""))


def _version(obj: Object) -> int:
    """Versions are numbers that can be compared (https://kubernetes.io/docs/reference/using-api/api-concepts/)."""
    return int(obj["metadata"]["resourceVersion"])
