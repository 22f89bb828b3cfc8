"""Whose credential an upstream is shown: the gateway's own, the client's, or nobody's."""

from typing import Final

from extproc.config.auth import ApiKeyAuth, NoAuth, PassthroughAuth
from extproc.conversation.errors import ClientError, Kind
from extproc.credentials.held import Missing
from extproc.credentials.showing import AUTHORIZATION, NOTHING, Sending, Shown, show
from extproc.exchange.attempt import Outgoing
from extproc.exchange.edges import Edges
from extproc.exchange.header_names import OF_AN_ACCOUNT, is_for_keys
from extproc.exchange.messages import Headers
from extproc.exchange.query import without_keys
from extproc.exchange.targets import Target
from extproc.routing.index import Choice

_BEARER: Final = "bearer "
#: Where clients put their key, by the order in which it is looked for; the upstream's own header goes before them.
_KEYS: Final = (AUTHORIZATION, "x-api-key", "api-key")


def credential_for(
    headers: Headers, choice: Choice, target: Target, outgoing: Outgoing, body: bytes, edges: Edges
) -> Shown:
    """What the upstream is shown. ``headers`` are the client's; ``body`` is what is sent, to the byte.

    Where that is not the client's, ``outgoing`` loses whatever else might let the client in, or name an account.

    Raises ``ClientError``: 503 when the gateway's own cannot be shown, 401 when the client's is wanted and missing.
    """
    auth = choice.auth
    if auth is None:
        return clients_key(headers, target)
    kind = auth.kind
    if kind is None or isinstance(kind, NoAuth):
        _close(outgoing)
        return NOTHING
    if isinstance(kind, PassthroughAuth):
        shown = clients_key(headers, target, kind.header)
        if shown.headers:
            return shown
        if kind.file is None:
            raise _keyless(choice, kind.header or target.platform.key_header)
    if isinstance(kind, ApiKeyAuth) and kind.header is not None and not is_for_keys(kind.header):
        raise unusable(choice, "'auth.apiKey.header' names a header that is not for keys")
    _close(outgoing)
    own = show(edges.credential(choice.name, auth), auth, _sending(headers, choice, target, outgoing, body, edges))
    if isinstance(own, Missing):
        raise unusable(choice, own.reason)
    return own


def _close(outgoing: Outgoing) -> None:
    """Nothing but what the gateway shows decides who asks there."""
    outgoing.path = without_keys(outgoing.path)
    outgoing.remove_headers = (*outgoing.remove_headers, *OF_AN_ACCOUNT)


def clients_key(headers: Headers, target: Target, named: str | None = None) -> Shown:
    """The client's key in the form that the upstream takes; no header when there is none.

    ``named``: the one header that it is taken from. Otherwise the header that the upstream looks for wins, then
    ``authorization``, which is left as it is where the upstream takes a bearer token too.
    """
    form = target.platform.key_header
    if named is None and headers.get(form):
        return Shown(((form, headers[form]),))
    for name in _KEYS if named is None else (named,):
        value = headers.get(name, "").strip()
        if not value:
            continue
        if name == form or (name == AUTHORIZATION and target.platform.takes_bearer):
            return Shown(((name, headers[name]),))
        bearer = value[: len(_BEARER)].lower() == _BEARER
        if name != AUTHORIZATION or bearer:
            key = value[len(_BEARER) :].strip() if bearer else value
            if key:
                return Shown(((form, f"Bearer {key}" if form == AUTHORIZATION else key),))
    return NOTHING


def _sending(
    headers: Headers, choice: Choice, target: Target, outgoing: Outgoing, body: bytes, edges: Edges
) -> Sending:
    """What a signature covers is what leaves: the headers that are set stand before those that the client sent."""
    return Sending(
        headers.get(":method", "POST"),
        outgoing.path,
        choice.host,
        dict(outgoing.set_headers).get("content-type", headers.get("content-type")),
        body,
        target.platform.key_header,
        edges.wall(),
    )


def unusable(choice: Choice, reason: str, code: str = "no_credential") -> ClientError:
    """What is said of a backend that can be sent nothing at the moment."""
    return ClientError(f"backend {choice.name!r} cannot be used: {reason}", status=503, kind=Kind.OVERLOADED, code=code)


def _keyless(choice: Choice, header: str) -> ClientError:
    return ClientError(
        f"backend {choice.name!r} takes the caller's own key, and the request shows none; send it in {header!r}",
        status=401,
        kind=Kind.AUTHENTICATION,
        code="missing_api_key",
    )
