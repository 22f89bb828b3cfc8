"""What a worker says of its credentials: to the supervisor, for the admin page, and to its own counters."""

from collections.abc import Callable

import msgspec

from extproc.server.credentials.account import Outcome
from extproc.server.credentials.vault import Changes
from extproc.server.metrics import Metrics


class CredentialReports:
    """Implements ``vault.Observer``. ``send`` takes a message for the supervisor."""

    def __init__(self, send: Callable[[bytes], None], metrics: Metrics) -> None:
        self._send = send
        self._metrics = metrics

    def changed(self, changes: Changes) -> None:
        """Send ``{"kind": "credentials", "changed": {backend: status or null}}``."""
        self._send(msgspec.json.encode({"kind": "credentials", "changed": changes}))

    def refreshed(self, backend: str, outcome: Outcome) -> None:
        """Count it."""
        self._metrics.credential_refreshed(backend, outcome)
