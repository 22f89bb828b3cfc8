"""What the API server holds of a kind, in all namespaces, kept up to date from a thread."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from typing import Any

from e2e.support.api import Api, Object, Refused, Watch

_RETRY_S = 0.1
Key = tuple[str, str]


class Mirror:
    """Follows until ``close``. ``changed`` is called from its thread with each object that came, changed or went."""

    def __init__(
        self, api: Api, kind: str, changed: Callable[[str, Object], None] = lambda _event, _found: None
    ) -> None:
        self._api, self._kind, self._changed = api, kind, changed
        self._lock = threading.Lock()
        self._objects: dict[Key, dict[str, Any]] = {}
        self._ended = False
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._follow, name=f"mirror-{kind}", daemon=True)
        self._thread.start()

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        """An object as it was last seen."""
        with self._lock:
            return self._objects.get((namespace, name))

    def all(self) -> list[dict[str, Any]]:
        """All of them."""
        with self._lock:
            return list(self._objects.values())

    def close(self) -> None:
        """Stop following."""
        with self._lock:
            self._ended = True
            if self._watch is not None:
                self._watch.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _follow(self) -> None:
        since = ""
        while not self._ended:
            with suppress(OSError, HTTPException, Refused):  # the server is away: again from the start
                found = self._api.list(self._kind)
                self._replace(found)
                newest = max((int(each["metadata"]["resourceVersion"]) for each in found), default=0)
                self._listen(since or str(newest))
                since = "0"  # what came before may be forgotten by now
            time.sleep(_RETRY_S)

    def _replace(self, found: list[dict[str, Any]]) -> None:
        here = {_key(each) for each in found}
        for gone in [each for each in self.all() if _key(each) not in here]:
            self._saw("DELETED", gone)
        for each in found:
            self._saw("MODIFIED", each)

    def _listen(self, since: str) -> None:
        watch = self._api.watch(self._kind, "", since)
        try:
            with self._lock:
                self._watch = watch
                if self._ended:
                    return
            for event, found in watch:
                if event == "ERROR":
                    return
                self._saw(event, found)
        finally:
            with self._lock:
                self._watch = None
            watch.close()

    def _saw(self, event: str, found: dict[str, Any]) -> None:
        with self._lock:
            if self._ended:
                return
            if event == "DELETED":
                self._objects.pop(_key(found), None)
            else:
                self._objects[_key(found)] = found
        self._changed(event, found)


def _key(found: Object) -> Key:
    return found["metadata"].get("namespace", ""), found["metadata"]["name"]
