"""The models that a host serves, for ``GET /v1/models``.

Listed are the exact names in the matches of rules that have a backend to choose. A refused rule's models are not: no
traffic could be served. Patterns name no models. A match that asks for more headers is listed all the same, since a
client that knows the model's name may well know the header. Those of a rule that asks who calls are for its callers.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from extproc.config.auth import ClientAuth
from extproc.config.schema import Rule
from extproc.routing.conditions import MODEL
from extproc.routing.table import Candidate

#: Whether somebody may use what this stands before.
Admits = Callable[[ClientAuth], bool]


@dataclass(frozen=True, slots=True)
class Model:
    """A model as clients see it. ``created``: Unix seconds of the resource that serves it, 0 when unknown."""

    id: str
    created: int
    owned_by: str


class Catalog:
    """The models of one host name, by the client API that they are for (None: any) and by who may use them."""

    __slots__ = ("_shelves",)

    def __init__(self, candidates: Iterable[Candidate], rules: Sequence[Rule]) -> None:
        self._shelves: dict[tuple[str | None, ClientAuth | None], dict[str, Model]] = {}
        for candidate in sorted(candidates, key=lambda c: c.order):
            name = candidate.conditions.exact.get(MODEL)
            if name is None or not candidate.route.cumulative:
                continue
            rule = rules[candidate.route.index]
            models = self._shelves.setdefault((candidate.client, rule.client_auth), {})
            if name not in models:
                models[name] = Model(name, rule.created, rule.owned_by)

    def shown_to(self, client: str | None, admits: Admits | None) -> Iterable[dict[str, Model]]:
        """The lists that a client sees; None sees all. ``admits`` None: all callers' lists."""
        return (
            models
            for (api, door), models in self._shelves.items()
            if (client is None or api in (None, client)) and (door is None or admits is None or admits(door))
        )
