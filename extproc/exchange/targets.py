"""Where requests go, of one configuration: looked up once for each backend and model."""

from typing import Any, Final

from msgspec import Struct

from extproc.dialects.contract import Destination
from extproc.platforms.contract import Place, Platform
from extproc.registry import platform, upstream_dialect
from extproc.routing.index import Choice

#: For how many backends and models it is kept. Clients choose some of the names, so only those as long as any vendor's
#: are kept (ARNs of Bedrock's profiles have a hundred characters).
_KEPT: Final = 512
_MAX_KEPT_CHARS: Final = 160


class Target(Struct, frozen=True):
    """A backend as one request sees it."""

    platform: Platform
    place: Place
    path: str
    #: Whether it speaks the client's own dialect, so that bytes can pass.
    same_dialect: bool


class Targets:
    """What is known of a configuration's backends, whose ``Choice`` objects are the keys; it ends with them."""

    __slots__ = ("_destinations", "_targets")

    def __init__(self) -> None:
        # By the identity of the choices, which live as long as the configuration: to compare them takes longer than
        # to find out anew.
        self._targets: dict[tuple[int, str, str, str, bool], Target | None] = {}
        self._destinations: dict[tuple[int, str], Destination] = {}

    def __len__(self) -> int:
        """How much is kept."""
        return len(self._targets) + len(self._destinations)

    def maybe_target(self, choice: Choice, client: str, operation: str, model: str, *, stream: bool) -> Target | None:
        """Where the request goes, None when this backend's platform cannot serve the operation.

        ``client``: the name of its dialect. Raises ``ClientError`` for a model's name that can stand in no path.
        """
        key = id(choice), client, operation, model, stream
        try:
            return self._targets[key]
        except KeyError:
            pass
        target = _target(choice, client, operation, model, stream=stream)
        if len(model) <= _MAX_KEPT_CHARS:
            _make_room(self._targets)
            self._targets[key] = target
        return target

    def destination(self, choice: Choice, target: Target) -> Destination:
        """Where a translated request goes: the bundled table's word on the model, and above it the backend's own."""
        key = id(choice), target.place.model
        try:
            return self._destinations[key]
        except KeyError:
            pass
        destination = _destination(choice, target)
        if len(target.place.model) <= _MAX_KEPT_CHARS:
            _make_room(self._destinations)
            self._destinations[key] = destination
        return destination


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= _KEPT:
        del kept[next(iter(kept))]


def _target(choice: Choice, client: str, operation: str, model: str, *, stream: bool) -> Target | None:
    host = platform(choice.schema)
    gcp, configured = choice.gcp, choice.model_name_override is not None
    place = (
        Place(model, stream, choice.version, configured=configured)
        if gcp is None
        else Place(model, stream, choice.version, gcp.project, gcp.location, configured=configured)
    )
    path = host.path(operation, place)
    return None if path is None else Target(host, place, path, host.dialect == client)


def _destination(choice: Choice, target: Target) -> Destination:
    host, place, defaults = target.platform, target.place, choice.defaults
    known = upstream_dialect(host.dialect).capabilities(place.model)
    if choice.capabilities is not None:
        known = known.overridden(choice.capabilities.model_dump(exclude_none=True))
    return Destination(
        place.model,
        known,
        host.version(place.version),
        None if defaults is None else defaults.max_output_tokens,
        host.fetches_urls,
        host.hosted,
    )
