"""A request's query on its way to an upstream."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_plus

from extproc.exchange.targets import Target

_SEPARATOR: Final = re.compile("[&;]")
#: Where upstreams, and gateways before them, take keys: Google and Azure, its API Management, and OAuth (RFC 6750).
_KEYS: Final = frozenset(
    {
        "access-token",
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "authorization",
        "key",
        "oauth_token",
        "ocp-apim-subscription-key",
        "subscription-key",
        "subscription_key",
        "token",
        "x-api-key",
        "x-goog-api-key",
    }
)


def with_query(target: Target, asked: str) -> str:
    """The upstream's path with the client's query, except where a cloud puts the API under paths of its own.

    What the platform says in its query the client cannot say otherwise, however an upstream tells parameters apart:
    some take ``;`` for ``&``, and ASP.NET, which Azure is made of, names in any case.
    """
    query = "" if target.platform.hosted else asked.partition("?")[2]
    if not query:
        return target.path
    path, _, own = target.path.partition("?")
    if own:
        said = set(_names(own))
        query = "&".join([own, *[each for each in query.split("&") if said.isdisjoint(_names(each))]])
    return f"{path}?{query}"


def without_keys(path: str) -> str:
    """``path`` with no parameter in which a client might show a key of its own, told apart as in ``with_query``."""
    bare, mark, query = path.partition("?")
    if not mark:
        return path
    kept = "&".join([each for each in query.split("&") if _KEYS.isdisjoint(_names(each))])
    return f"{bare}?{kept}" if kept else bare


def _names(query: str) -> Iterator[str]:
    for parameter in _SEPARATOR.split(query):
        yield unquote_plus(parameter.partition("=")[0]).strip().casefold()
