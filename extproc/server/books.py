"""The servicer's observer: metrics and the access log, kept in small batches.

A record that is counted and logged alone, between two messages of other exchanges, finds every cache cold and costs
three times what it costs among others. So records wait up to 20 ms; what the metrics show is that old, and a worker
that is killed loses that much. Each record stands alone: one that cannot be counted or logged is an internal error,
and costs the others nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from extproc.exchange.record import Record
from extproc.server.logs import AccessLog, withhold_texts
from extproc.server.metrics import Metrics

_WAIT_S: Final = 0.02

_logger = logging.getLogger(__name__)
_logger.addFilter(withhold_texts)


class Books:
    """Implements ``servicer.Observer`` on the event loop that runs."""

    def __init__(self, metrics: Metrics, access: AccessLog) -> None:
        self.failed = metrics.internal_error
        self._metrics = metrics
        self._access = access
        self._finished: list[Record] = []
        self._open = 0
        self._shown = 0
        self._planned = False

    def started(self) -> None:
        """A stream was opened."""
        self._open += 1
        if not self._planned:
            self._plan()

    def finished(self, record: Record) -> None:
        """A stream ended."""
        self._open -= 1
        self._finished.append(record)
        if not self._planned:
            self._plan()

    def settle(self) -> None:
        """Count and log what waits; call it once more when all streams have ended."""
        self._planned = False
        finished, self._finished = self._finished, []
        self._each(finished, self._access.write)
        self._each(finished, self._metrics.observe)
        for _ in range(self._open - self._shown):
            self._metrics.stream_started()
        for _ in range(self._shown - self._open):
            self._metrics.stream_ended()
        self._shown = self._open

    def _each(self, records: Iterable[Record], enter: Callable[[Record], None]) -> None:
        """Enter every record; of those that fail all are counted, and the first is logged."""
        complained = False
        for record in records:
            try:
                enter(record)
            except Exception:
                self.failed()
                if not complained:
                    complained = True
                    _logger.exception("internal error at the end of request %s", record.request_id[:128])

    def _plan(self) -> None:
        self._planned = True
        asyncio.get_running_loop().call_later(_WAIT_S, self.settle)
