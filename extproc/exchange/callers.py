"""Who is let in: a rule's ``clientAuth`` held against what a request shows.

What lets somebody in is the gateway's: it reaches no upstream, whatever a backend's ``auth`` says.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final

from msgspec import Struct

from extproc.config.auth import Auth, ClientAuth, PassthroughAuth
from extproc.config.names import failed_token, verified_token
from extproc.conversation.errors import ClientError, Kind
from extproc.credentials.showing import AUTHORIZATION
from extproc.exchange.header_names import CREDENTIALS
from extproc.exchange.messages import Headers

#: A token's subject can be as long as its issuer likes.
MAX_SUBJECT_CHARS: Final = 128
#: Whom a token is about: clients that call for themselves have no subject at some issuers (RFC 9068 has them give the
#: client's id there, OpenID Connect says ``azp``).
_SUBJECTS: Final = ("sub", "client_id", "azp")
#: How a subject ends that could not be shown as it is.
_DIGESTED: Final = re.compile(r"~[0-9a-f]{16}")

_SHOWN_IN: Final = tuple(sorted(CREDENTIALS))
_BEARER: Final = "bearer"
#: Envoy's ``jwt_authn`` of a token that is for somebody else (``JwtAudienceNotAllowed``; 1.40, run 2026-11-23).
_WRONG_AUDIENCE: Final = "25"
#: And of one whose issuer's keys could not be fetched (``JwksFetchFail``).
_NO_KEY_SET: Final = "40"

KnownCallers = Callable[[str], Mapping[str, str] | None]


class Entry(Struct, frozen=True):
    """Somebody was let in.

    ``caller``: as whom, behind the namespace of the route that asked. ``headers``: those that hold what did it.
    """

    caller: str
    headers: frozenset[str]


class Visitor:
    """One request, asking to be let in. Holds secrets: it is not kept, and has no ``repr`` with any."""

    __slots__ = ("_hashes", "_known", "_shown", "_tokens")

    def __init__(self, headers: Headers, tokens: Mapping[str, Mapping[str, str]], known: KnownCallers) -> None:
        """``tokens``: as in ``RequestHeaders``. ``known``: as ``Edges.callers``."""
        self._shown = {name: key for name in _SHOWN_IN if (key := _bare(headers.get(name, "")))}
        self._tokens = tokens
        self._known = known
        self._hashes: Mapping[str, str] | None = None

    def enter(self, door: ClientAuth, rule: str) -> Entry:
        """Who it is. ``rule``: the rule's provenance.

        Raises ``ClientError``: 401 for nobody we know, 403 for a token that is for others, 503 while nobody can tell.
        """
        claims = self._claims(door)
        ids = self._ids(door)
        if claims is not None:
            token = self._shown.get(AUTHORIZATION)
            same = (name for name, shown in self._shown.items() if shown == token)
            return Entry(_within(rule, _subject(claims)), frozenset({AUTHORIZATION, *same, *(ids or ())}))
        if ids:
            return Entry(_within(rule, next(iter(ids.values()))), frozenset(ids))
        if self._is_unsure(door):
            raise ClientError(
                f"rule {rule} cannot tell who its callers are at the moment; try again",
                status=503,
                kind=Kind.OVERLOADED,
                code="no_callers",
            )
        raise self._stranger([door])

    def demand_entry(self, doors: Sequence[ClientAuth]) -> None:
        """Raises ``ClientError`` for somebody whom none of the doors lets in, nor could, once its callers are known."""
        if not any(self.may_enter(door) or self._is_unsure(door) for door in doors):
            raise self._stranger(doors)

    def may_enter(self, door: ClientAuth) -> bool:
        """Whether ``enter`` would let it in."""
        return self._claims(door) is not None or bool(self._ids(door))

    def _is_unsure(self, door: ClientAuth) -> bool:
        """Whether nobody can tell at the moment who its callers are."""
        return self._ids(door) is None or self._failure(door) == _NO_KEY_SET

    def _claims(self, door: ClientAuth) -> Mapping[str, str] | None:
        """The claims of a verified token. Those of any have the issuer, which Envoy has compared."""
        found = None if door.jwt is None else self._tokens.get(verified_token(door.jwt.provider))
        return found if found is not None and "iss" in found else None

    def _failure(self, door: ClientAuth) -> str | None:
        """Why Envoy could not verify a token, by its own code; None when it could, or there is none."""
        return None if door.jwt is None else self._tokens.get(failed_token(door.jwt.provider), {}).get("code")

    def _ids(self, door: ClientAuth) -> Mapping[str, str] | None:
        """Header -> caller, for each key that is known; None while it is not known which are.

        Keys are looked up by their SHA-256, never compared: how long that takes depends on digests, which nobody can
        choose, and Python's own hash of them, which differs from process to process.
        """
        if door.api_keys is None:
            return {}
        callers = self._known(door.api_keys.file)
        if callers is None:
            return None
        if self._hashes is None:
            self._hashes = {name: sha256(key.encode("latin-1")).hexdigest() for name, key in self._shown.items()}
        return {name: callers[hashed] for name, hashed in self._hashes.items() if hashed in callers}

    def _stranger(self, doors: Sequence[ClientAuth]) -> ClientError:
        if any(self._failure(door) == _WRONG_AUDIENCE for door in doors):
            return ClientError("the token is for another audience", status=403, kind=Kind.PERMISSION)
        keys, tokens = any(door.api_keys for door in doors), any(door.jwt for door in doors)
        wanted = " or ".join(word for word, asked in (("an API key", keys), ("a token", tokens)) if asked)
        if not self._shown:
            message = f"this gateway asks who calls: send {wanted} as 'Authorization: Bearer ...'"
        else:
            message = f"what was sent lets nobody in here; send {wanted} of this gateway as 'Authorization: Bearer ...'"
        return ClientError(message, status=401, kind=Kind.AUTHENTICATION)


def left_for_upstream(headers: Headers, entry: Entry, auth: Auth | None) -> Headers:
    """The headers in which a key for the upstream may be looked for.

    With a door, what stands in the usual places is taken to be for the door, so that no key of one route's callers
    reaches another's upstream. Only where a backend's ``passthrough`` names a header is that one the upstream's, unless
    it let the caller in.
    """
    kind = None if auth is None else auth.kind
    named = kind.header if isinstance(kind, PassthroughAuth) else None
    kept = _without(headers, CREDENTIALS - {named} if named is not None else CREDENTIALS)
    return _without(kept, entry.headers)


def _without(headers: Headers, names: Iterable[str]) -> Headers:
    gone = frozenset(names)
    return {name: value for name, value in headers.items() if name not in gone}


def _bare(value: str) -> str:
    value = value.strip()
    scheme, _, key = value.partition(" ")
    return key.strip() if scheme.lower() == _BEARER else value


def _within(rule: str, name: str) -> str:
    """The name among those of all namespaces. Only hand-written files have rules without one (``rules[3]``)."""
    namespace, slash, _ = rule.partition("/")
    return f"{namespace}/{name}" if slash and name else name


def _subject(claims: Mapping[str, str]) -> str:
    """Whom a token is about, as it may stand in a log; two of them are never shown as one."""
    raw = next((found for name in _SUBJECTS if (found := claims.get(name))), "").encode("latin-1")
    text = raw.decode(errors="replace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    digest = f"~{sha256(raw).hexdigest()[:16]}"
    if shown == text and len(text) <= MAX_SUBJECT_CHARS and not _DIGESTED.fullmatch(text[-len(digest) :]):
        return text
    return f"{shown[: MAX_SUBJECT_CHARS - len(digest)]}{digest}"
