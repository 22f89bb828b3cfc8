"""What passes of the operator come to, made from resources by the real ``translate``."""

from collections.abc import Mapping
from typing import Any

from controller.api.findings import Finding, Subject
from controller.api.reading import subject_of
from controller.operator.failures import ClusterError
from controller.operator.kinds import Kind
from controller.operator.published import Published
from controller.translate import Snapshot, translate
from tests.support.api_objects import backend, route, rule

Object = dict[str, Any]


def published(
    objects: list[Object],
    revision: int,
    *,
    problem: Finding | None = None,
    held: Published | None = None,
    size: int = 9,
) -> Published:
    """A pass over ``objects``. With a ``problem`` the ConfigMap still has what ``held`` says."""
    translation = translate(Snapshot.of(objects))
    parts = {status.subject: status.part for status in translation.statuses if status.part}
    if problem is not None:
        parts = {} if held is None else dict(held.parts)
    return Published(revision, ("llmroute-extproc",), problem, translation, parts, {"llmroute-extproc": size})


def live(obj: Object, generation: int = 1, uid: str | None = None) -> Object:
    """An object as the API server has it."""
    metadata = obj["metadata"]
    more = {"uid": uid or f"uid-{metadata['name']}", "generation": generation, "resourceVersion": "1"}
    return {**obj, "metadata": {**metadata, **more}}


def one_route(model: str = "gpt-4o", generation: int = 1, name: str = "chat") -> Object:
    """A route to the backend of ``one_backend``."""
    return live(route(rule(model, "openai"), name=name), generation)


def one_backend() -> Object:
    """An accepted backend."""
    return live(backend())


class Objects:
    """A store and an API server in one: statuses that are applied are seen at once.

    ``faults`` are raised by the writes to come, one each; ``fault`` by every one.
    """

    def __init__(self, *objects: Object) -> None:
        self.objects = {subject_of(obj): obj for obj in objects}
        self.writes: list[Subject] = []
        self.replaced: list[Subject] = []
        self.uids: list[str] = []
        self.faults: list[ClusterError] = []
        self.fault: ClusterError | None = None

    def get(self, subject: Subject) -> Object | None:
        return self.objects.get(subject)

    def answered(self, kind: Kind, obj: Object) -> None:
        assert kind.name == obj["kind"]
        self.objects[subject_of(obj)] = obj

    def change(self, obj: Object) -> None:
        """Somebody edits the object; its status stays."""
        subject = subject_of(obj)
        before = self.objects.get(subject, {})
        self.objects[subject] = {**obj, "status": before["status"]} if "status" in before else obj

    async def reach(self, kind: Kind) -> None:
        """What happens before a write of this kind; raises what the server would."""

    async def apply_status(
        self, kind: Kind, namespace: str, name: str, status: Mapping[str, Any], *, uid: str = ""
    ) -> Object | None:
        await self.reach(kind)
        if self.faults:
            raise self.faults.pop(0)
        if self.fault is not None:
            raise self.fault
        subject = Subject(kind.name, namespace, name)
        self.writes.append(subject)
        if subject not in self.objects:
            return None
        self.uids.append(uid)
        return {**self.objects[subject], "status": dict(status)}

    async def replace_status(self, kind: Kind, obj: Object) -> Object | None:
        self.replaced.append(Subject(kind.name, obj["metadata"]["namespace"], obj["metadata"]["name"]))
        return obj

    def all(self) -> list[Object]:
        return list(self.objects.values())

    def condition(self, name: str, kind: str, condition: str) -> Object:
        """One condition of an object of ``team-a``; empty when it has none."""
        status = self.objects[Subject(kind, "team-a", name)].get("status", {})
        return next((one for one in status.get("conditions", []) if one["type"] == condition), {})
