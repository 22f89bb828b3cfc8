"""Routes that somebody edits without a pause."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.support.api import Api
from e2e.support.stand import placed
from tests.support.gateway import route, rule

ROUTES = 30


@contextmanager
def changing(api: Api, namespace: str, backend: str, pause_s: float = 0.0) -> Iterator[dict[str, str]]:
    """Routes ``r0``, ``r1`` ... are applied in turn for the time of the context; the model of each by its name."""
    models: dict[str, str] = {}
    enough = threading.Event()

    def change() -> None:
        for number in itertools.count():
            model, name = f"{namespace}-{number}", f"r{number % ROUTES}"
            api.apply(placed(namespace, [route(rule(model, backend), name=name)])[0])
            models[name] = model
            if enough.wait(pause_s):
                return

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield models
    finally:
        enough.set()
        thread.join()
