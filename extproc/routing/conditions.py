"""The conditions of one match, reduced to what has to be looked at when a request comes.

A condition is on a *subject*: a header by its lower-case name, or the model. The model has several header names and one
value, and comes from the body; a client's own headers of these names are not looked at, nor is any other header that
belongs to the gateway, so a condition on one of those is never true.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from extproc.config.names import MODEL_HEADERS, gateway_headers
from extproc.config.schema import Config, Match
from extproc.routing.automata import PatternSet

#: The model as a subject. No header has this name.
MODEL = ""

#: Envoy keeps the Host header under its HTTP/2 name.
_HOST_HEADER = "host"
_AUTHORITY = ":authority"

#: The longest model name that conditions look at, in characters: the longest value that a rule can name. A body could
#: make it megabytes long; that is the name of no model, and no regular expression is run on it.
MAX_MODEL_CHARS = 4096


@dataclass(frozen=True, slots=True)
class Conditions:
    """All must hold. ``exact`` values are in the form of ``Request.text``. A subject is in one of the two alone."""

    exact: Mapping[str, str]
    patterns: tuple[tuple[str, str], ...]


class Request:
    """What is asked of the index."""

    __slots__ = ("client", "headers", "model")

    def __init__(self, headers: Mapping[str, str], model: str, client: str) -> None:
        self.headers = headers
        self.model = model if 0 < len(model) <= MAX_MODEL_CHARS else None
        self.client = client

    def text(self, subject: str) -> str | None:
        """A subject's value, None when the request has none. Headers are latin-1 text, see ``exchange.messages``."""
        return self.headers.get(subject) if subject else self.model


def octets(subject: str, text: str) -> bytes:
    """The bytes behind a subject's text, as the client sent them, for patterns to look at."""
    return text.encode("latin-1", "replace") if subject else text.encode("utf-8", "surrogatepass")


class ConditionReader:
    """Reads the matches of one configuration."""

    def __init__(self, config: Config) -> None:
        names = (*MODEL_HEADERS, config.model_name_header_key)
        owned = gateway_headers(config.backend_routing_header_key, config.model_name_header_key)
        self._subjects = {_HOST_HEADER: _AUTHORITY, **dict.fromkeys(names, MODEL)}
        self._never = frozenset(owned) - frozenset(names)

    def maybe_conditions(self, match: Match) -> Conditions | None:
        """The conditions of a match, None when no request can fulfil them."""
        exact: dict[str, str] = {}
        patterns: dict[tuple[str, str], None] = {}
        for header in match.headers:
            subject = self._subjects.get(header.name, header.name)
            if subject in self._never:
                return None
            if header.type == "RegularExpression":
                patterns[subject, header.value] = None
                continue
            value = header.value.encode().decode("latin-1") if subject else header.value
            if exact.setdefault(subject, value) != value:
                return None
        if any(s in exact and not PatternSet([p]).matching(octets(s, exact[s])) for s, p in patterns):
            return None
        return Conditions(exact, tuple(pair for pair in patterns if pair[0] not in exact))
