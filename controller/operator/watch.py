"""The watches, which are kopf's. The only module that imports kopf.

Of kopf's it uses plain events and nothing else: no handler that would put finalizers or annotations on users' objects,
no index, no scan for namespaces and definitions unless patterns of namespaces need it.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import kopf

from controller.operator.kinds import Kind
from controller.operator.settings import Scope
from controller.operator.store import Object
from controller.operator.transport import Credentials

_log = logging.getLogger(__name__)

#: Pauses, in seconds, between attempts of one request: short, because a server that comes back is back at once, and
#: for about two minutes, after which all of the watching is begun anew.
_PAUSES = (0.1, 0.2, 0.5, 1.0, *itertools.repeat(2.0, 60))

#: kopf's parts end within this time or are left behind.
_STOP_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What to do with an object, given how it came: ``ADDED``, ``MODIFIED``, ``DELETED``, or None in a complete list.

    Attributes:
        is_news: whether it is worth calling a handler, which is a third of what kopf takes for an event. Most events in
            a burst are our own writes of statuses, whose answers have said it all.
        seen: takes it.
    """

    is_news: Callable[[Kind, Object, str | None], bool]
    seen: Callable[[Kind, Object, str | None], None]


class WatchEnded(Exception):
    """A watch met an error that it does not get over; a new one may."""


async def watch(
    kinds: Sequence[Kind],
    scope: Scope,
    login: Callable[[], Awaitable[Credentials]],
    sight: Sight,
    started: Callable[[], None],
) -> None:
    """Tell ``sight`` of every object and every change to it, until cancelled.

    An interrupted watch goes on by itself; what was deleted meanwhile is not told. ``started`` is called when kopf has
    put handlers of its own on SIGINT and SIGTERM, so that the process can take them back. Raises ``WatchEnded``.
    """
    tasks = await kopf.spawn_tasks(
        registry=_registry(kinds, login, sight),
        settings=_settings(scope),
        standalone=True,
        clusterwide=scope.is_cluster,
        namespaces=scope.globs,
    )
    started()
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _stop(tasks)
    faults = [fault for task in done if not task.cancelled() and (fault := task.exception())]
    raise WatchEnded("; ".join(f"{type(fault).__name__}: {fault}" for fault in faults) or "the watches have stopped")


def _registry(
    kinds: Sequence[Kind], login: Callable[[], Awaitable[Credentials]], sight: Sight
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    async def connection(**_: Any) -> kopf.ConnectionInfo:
        at = await login()
        return kopf.ConnectionInfo(
            server=at.server,
            ca_path=at.ca_path,
            ca_data=at.ca_data,
            insecure=not at.verify,
            token=at.token,
            certificate_path=at.certificate_path,
            private_key_path=at.key_path,
        )

    kopf.on.login(registry=registry, retries=3, backoff=1.0)(connection)
    for kind in kinds:
        is_news, handler = _filter(kind, sight), _handler(kind, sight)
        decorate = kopf.on.event(kind.group, kind.version, kind.plural, id=kind.plural, registry=registry, when=is_news)
        decorate(handler)
    return registry


def _filter(kind: Kind, sight: Sight) -> Callable[..., bool]:
    def is_news(event: kopf.RawEvent, **_: Any) -> bool:
        return sight.is_news(kind, event["object"], event["type"])

    return is_news


def _handler(kind: Kind, sight: Sight) -> Callable[..., Awaitable[None]]:
    async def handler(event: kopf.RawEvent, **_: Any) -> None:
        sight.seen(kind, event["object"], event["type"])

    return handler


class _NoEssence(kopf.DiffBaseStorage):
    """Of what an object was before.

    kopf makes a deep copy of it for every event and compares; nobody here asks for the difference.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing of ours goes into users' objects."""


def _settings(scope: Scope) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = not scope.has_patterns
    settings.networking.error_backoffs = _PAUSES
    settings.networking.connect_timeout = 5.0
    settings.watching.reconnect_backoff = 0.1
    settings.queueing.exit_timeout = 0.5
    settings.persistence.diffbase_storage = _NoEssence()
    # The process has other things to finish, and somebody else who kills it.
    settings.process.ultimate_exiting_timeout = None
    return settings


async def _stop(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    _, left = await asyncio.wait(tasks, timeout=_STOP_LIMIT_S)
    if left:
        _log.warning("%d parts of the watches did not stop", len(left))
