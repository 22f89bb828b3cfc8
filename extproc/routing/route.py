"""What a decision answers: a rule, and the backends it may choose."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from math import log

from extproc.config.auth import ApiKeyAuth, Auth, ClientAuth, PassthroughAuth
from extproc.config.names import keyed
from extproc.config.schema import (
    Backend,
    CapabilityOverrides,
    Config,
    Defaults,
    GoogleCloud,
    OutputSchema,
    Rule,
    WeightedBackend,
)


@dataclass(frozen=True, slots=True)
class Choice:
    """One backend of a rule, with all that translation needs to know of it.

    Attributes:
        schema: ``outputSchema.schema``, a key of ``names.PLATFORMS``.
        version: ``outputSchema.version``.
        model_name_override: the model's name upstream, None when it is the client's own name for it.
        route_key: the value of the backend header, which Envoy's routes are keyed on.
        host: the upstream's own host name; None in hand-written files.
        capabilities: what the configuration knows better than the bundled table.
        defaults: what requests say where the client says nothing.
        gcp: where in Google Cloud it is, None for what is elsewhere.
        auth: what it is shown; None: the client's own credential.
        refusal: why it can be sent nothing at the moment; it keeps its share, which is answered 503.
    """

    name: str
    weight: int
    schema: str
    version: str | None
    model_name_override: str | None
    route_key: str
    host: str | None
    capabilities: CapabilityOverrides | None
    defaults: Defaults | None = None
    gcp: GoogleCloud | None = None
    auth: Auth | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One rule. ``source`` is its provenance, or ``rules[3]`` in a file that has none.

    ``refusal``: why the rule serves nobody at the moment; it keeps its traffic and answers 503.
    """

    index: int
    source: str
    name: str | None
    refusal: str | None
    backends: tuple[Choice, ...]
    #: The running sum of the weights, position by position; empty when nothing can be chosen.
    cumulative: tuple[int, ...]
    #: Whether all turns of a conversation go to one backend.
    sticky: bool = False
    #: Who may use it; None: everybody.
    client_auth: ClientAuth | None = None
    #: The headers in which a backend that it may choose is told to look for a key.
    key_headers: tuple[str, ...] = ()

    def choose(self, draw: float) -> Choice | None:
        """The backend that ``draw``, uniform in [0, 1), falls on; one of weight 0 spans nothing, so none falls on it.

        None when no weight is above 0 or the rule is refused. Raises ``ValueError`` for a draw outside [0, 1).
        """
        if not 0 <= draw < 1:
            raise ValueError(f"a draw lies in [0, 1), not {draw}")
        if not self.cumulative:
            return None
        return self.backends[bisect_right(self.cumulative, draw * self.cumulative[-1])]

    def choose_for(self, key: bytes) -> Choice | None:
        """The backend that ``key`` belongs to, the same each time; over many keys each has its weight's share.

        By weighted rendezvous hashing: when a weight changes, a backend comes or one goes, only those keys move that
        must. None as with ``choose``.
        """
        if not self.cumulative:
            return None
        digest = blake2b(key, digest_size=16).digest()
        times = Counter[tuple[str, str | None]]()
        near: list[tuple[float, int]] = []
        for position, choice in enumerate(self.backends):
            named = choice.name, choice.model_name_override
            times[named] += 1
            if choice.weight:
                near.append((_distance(digest, f"{named} {times[named]}", choice.weight), position))
        return self.backends[min(near)[1]]


def _distance(digest: bytes, name: str, weight: int) -> float:
    """An exponential draw with the rate of the weight: the least of several is each one's with its weight's share."""
    person = blake2b(name.encode(), digest_size=16).digest()
    drawn = int.from_bytes(blake2b(digest, digest_size=7, person=person).digest())
    return -log((drawn + 1) / 2**56) / weight


class RouteCompiler:
    """Compiles rules, each distinct list of backends once: most of ten thousand rules have the same few."""

    def __init__(self, config: Config) -> None:
        self._known: Mapping[str, Backend] = {backend.name: backend for backend in config.backends}
        self._choices: dict[tuple[WeightedBackend, ...], tuple[tuple[Choice, ...], tuple[str, ...]]] = {}
        self._cumulative: dict[tuple[int, ...], tuple[int, ...]] = {}

    def route(self, index: int, rule: Rule) -> Route:
        """The rule at position ``index`` of the file."""
        known = self._choices.get(rule.backends)
        if known is None:
            choices = tuple(map(self._choice, rule.backends))
            known = self._choices[rule.backends] = choices, _key_headers(choices)
        choices, key_headers = known
        sums = () if rule.refusal is not None else tuple(accumulate(choice.weight for choice in choices))
        if not sums or sums[-1] == 0:
            sums = ()
        return Route(
            index=index,
            source=rule.source or f"rules[{index}]",
            name=rule.name,
            refusal=rule.refusal,
            backends=choices,
            cumulative=self._cumulative.setdefault(sums, sums),
            sticky=rule.stickiness is not None,
            client_auth=rule.client_auth,
            key_headers=key_headers,
        )

    def _choice(self, chosen: WeightedBackend) -> Choice:
        """An inline ``outputSchema`` wins over that of ``backends``; all else comes from there alone."""
        backend = self._known.get(chosen.name)
        schema = self._schema(chosen, backend)
        return Choice(
            name=chosen.name,
            weight=chosen.weight,
            schema=schema.schema_,
            version=schema.version,
            model_name_override=chosen.model_name_override,
            route_key=keyed(chosen.route_key or chosen.name, backend.fingerprint if backend is not None else None),
            host=backend.host if backend is not None else None,
            capabilities=backend.capabilities if backend is not None else None,
            defaults=backend.defaults if backend is not None else None,
            gcp=backend.gcp if backend is not None else None,
            auth=backend.auth if backend is not None else None,
            refusal=backend.refusal if backend is not None else None,
        )

    @staticmethod
    def _schema(chosen: WeightedBackend, backend: Backend | None) -> OutputSchema:
        if chosen.output_schema is not None:
            return chosen.output_schema
        assert backend is not None, "the schema of the file checks that every name is known"
        return backend.output_schema


def _key_headers(choices: tuple[Choice, ...]) -> tuple[str, ...]:
    kinds = [choice.auth.kind for choice in choices if choice.auth is not None]
    named = (kind.header for kind in kinds if isinstance(kind, ApiKeyAuth | PassthroughAuth))
    return tuple(dict.fromkeys(name for name in named if name is not None))
