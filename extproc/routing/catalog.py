"""The models that a host serves, for ``GET /v1/models``.

Listed are the exact names in the matches of rules that have a backend to choose. A refused rule's models are not: no
traffic could be served. Patterns name no models. A match that asks for more headers is listed all the same, since a
client that knows the model's name may well know the header.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from extproc.config.schema import Rule
from extproc.routing.conditions import MODEL
from extproc.routing.table import Candidate


@dataclass(frozen=True, slots=True)
class Model:
    """A model as clients see it. ``created``: Unix seconds of the resource that serves it, 0 when unknown."""

    id: str
    created: int
    owned_by: str


class Catalog:
    """The models of one host name, by the client API that they are for (None: any)."""

    __slots__ = ("_by_client",)

    def __init__(self, candidates: Iterable[Candidate], rules: Sequence[Rule]) -> None:
        self._by_client: dict[str | None, dict[str, Model]] = {}
        for candidate in sorted(candidates, key=lambda c: c.order):
            name = candidate.conditions.exact.get(MODEL)
            if name is None or not candidate.route.cumulative:
                continue
            rule = rules[candidate.route.index]
            models = self._by_client.setdefault(candidate.client, {})
            if name not in models:
                models[name] = Model(name, rule.created, rule.owned_by)

    def shown_to(self, client: str | None) -> Iterable[dict[str, Model]]:
        """The lists that a client sees; None sees all."""
        return (models for api, models in self._by_client.items() if client is None or api in (None, client))
