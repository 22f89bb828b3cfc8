"""What is known of the Secrets and ConfigMaps that resources name, and of no others. No I/O."""

import base64
import binascii
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from controller.translate.secrets import Place, SecretStore

Object = Mapping[str, Any]

#: Ends of sentences, as in ``SecretStore.unread``. Constant, because statuses have them.
_DENIED: Final = "the operator may not read it"
_UNANSWERED: Final = "the API server has not said yet whether it exists"

#: Seconds that refusals have to go on before they count: a webhook that decides on rights and is away says no, too.
KEPT_S: Final = 60.0


class Standing(StrEnum):
    """What the API server said of an object last. UNKNOWN: nothing yet. DENIED: we have no right to it."""

    UNKNOWN = "unknown"
    FOUND = "found"
    MISSING = "missing"
    DENIED = "denied"


@dataclass(slots=True, repr=False)
class _Known:
    """``denied_s``: since when we are refused, in seconds; ``is_final``: it has been so for long."""

    standing: Standing = Standing.UNKNOWN
    uid: str = ""
    version: int = 0
    data: Mapping[str, bytes] | None = None
    type: str = ""
    denied_s: float | None = None
    is_final: bool = False


class NamedObjects:
    """By place. What is not wanted any more is forgotten at once, with all that it held.

    ``version`` counts what is news, so that whoever saw one number can tell later whether there is any.
    """

    def __init__(self) -> None:
        self._known: dict[Place, _Known] = {}
        self.version = 0

    @property
    def wanted(self) -> Collection[Place]:
        """The places that resources name."""
        return self._known.keys()

    @property
    def unasked(self) -> frozenset[Place]:
        """Those of which the API server has said nothing yet."""
        return frozenset(place for place, known in self._known.items() if known.standing is Standing.UNKNOWN)

    @property
    def doubted(self) -> frozenset[Place]:
        """Those of which nothing is known, and may well be soon: nothing is to be taken away for that."""
        return self.unasked | {
            place for place, known in self._known.items() if known.standing is Standing.DENIED and not known.is_final
        }

    @property
    def missing(self) -> frozenset[Place]:
        """Those that do not exist."""
        return frozenset(place for place, known in self._known.items() if known.standing is Standing.MISSING)

    def want(self, places: Collection[Place]) -> None:
        """These and no others."""
        for place in self._known.keys() - places:
            del self._known[place]
        for place in sorted(set(places) - self._known.keys()):
            self._known[place] = _Known()
            self.version += 1

    def saw(self, place: Place, obj: Object | None) -> bool:
        """Take in what the API server says, None: there is none. Says whether that is news.

        An object that is being deleted is gone already, as everywhere else. What is older than what is known is not
        taken in.
        """
        known = self._known.get(place)
        if known is None:
            return False
        if obj is None or obj["metadata"].get("deletionTimestamp") is not None:
            return self._set(place, _Known(Standing.MISSING))
        uid, version = str(obj["metadata"].get("uid", "")), int(obj["metadata"]["resourceVersion"])
        if known.standing is Standing.FOUND and known.uid == uid and version <= known.version:
            known.denied_s = None
            return False
        return self._set(place, _Known(Standing.FOUND, uid, version, data_of(obj), str(obj.get("type") or "")))

    def denied(self, place: Place, now_s: float) -> bool:
        """We are not let read it. Says whether that is news; what was known of it stays for ``KEPT_S``."""
        known = self._known.get(place)
        if known is None:
            return False
        since_s = now_s if known.denied_s is None else known.denied_s
        is_final = now_s - since_s >= KEPT_S
        if known.standing is Standing.FOUND and not is_final:
            known.denied_s = since_s
            return False
        is_news = self._set(place, _Known(Standing.DENIED, denied_s=since_s, is_final=is_final))
        return is_news or is_final != known.is_final

    def store(self) -> SecretStore:
        """All of it, as it is now."""
        why = {Standing.DENIED: _DENIED, Standing.UNKNOWN: _UNANSWERED}
        return SecretStore(
            data={place: known.data for place, known in self._known.items() if known.data is not None},
            unread={place: why[known.standing] for place, known in self._known.items() if known.standing in why},
            types={place: known.type for place, known in self._known.items() if known.type},
        )

    def counts(self) -> Counter[Standing]:
        """How many there are of each standing; one that we are refused now is denied, also while it is still used."""
        return Counter(known.standing if known.denied_s is None else Standing.DENIED for known in self._known.values())

    def _set(self, place: Place, now: _Known) -> bool:
        before = self._known[place]
        self._known[place] = now
        is_news = (before.standing, before.data, before.type) != (now.standing, now.data, now.type)
        self.version += is_news
        return is_news


def data_of(obj: Object) -> dict[str, bytes]:
    """The values of a Secret or a ConfigMap, decoded; of a value that is not base64 nothing is known."""
    is_secret = obj.get("kind", "Secret") != "ConfigMap"
    encoded = (obj.get("data") if is_secret else obj.get("binaryData")) or {}
    values = {} if is_secret else {str(key): str(value).encode() for key, value in (obj.get("data") or {}).items()}
    for key, value in encoded.items():
        try:
            values[str(key)] = base64.b64decode(value, validate=True)
        except (TypeError, binascii.Error):
            continue
    return values
