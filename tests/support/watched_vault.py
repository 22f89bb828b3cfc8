"""A vault that runs, and all that it ever told."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from extproc.config.auth import Auth
from extproc.credentials.held import Held
from extproc.server.credentials.account import CredentialStatus, Outcome
from extproc.server.credentials.pace import Pace
from extproc.server.credentials.vault import Changes, Vault
from tests.support.waiting import eventually

#: Retries within a test's patience.
FAST = Pace(least=0.05, first_retry=0.05, longest_retry=0.1)


class _Eager(Pace):
    def refresh_in(self, now: float, expires_at: float | None, draw: float) -> float:
        del now, expires_at, draw
        return 0.1


#: Renews tokens all the time, whatever their life, so that a busy machine lets none expire.
EAGER = _Eager(first_retry=0.05, longest_retry=0.1)


class Watched:
    """``vault`` follows ``auths``, which ``follow`` changes."""

    def __init__(self, directory: Path | None, pace: Pace) -> None:
        self.told: dict[str, CredentialStatus] = {}
        self.outcomes: list[tuple[str, Outcome]] = []
        self.auths: dict[str, Auth] = {}
        self.vault = Vault(None if directory is None else str(directory), self, pace)

    async def follow(self, auths: Mapping[str, Auth], *callers: str) -> None:
        """As a worker does with every configuration."""
        self.auths = dict(auths)
        await self.vault.follow(self.auths, frozenset(callers))

    def held(self, backend: str) -> Held:
        """What an exchange would be given now."""
        return self.vault.credential(backend, self.auths[backend])

    async def holds(self, backend: str, held: Held) -> None:
        """Wait until it does."""
        await eventually(lambda: self.held(backend) == held, f"{backend} is never shown the expected credential", 5)

    async def is_told(self, backend: str, state: str) -> CredentialStatus:
        """Wait until the observer knows."""
        await eventually(
            lambda: backend in self.told and self.told[backend].state == state, f"{backend} is never {state}", 5
        )
        return self.told[backend]

    def changed(self, changes: Changes) -> None:
        for backend, status in changes.items():
            if status is None:
                self.told.pop(backend, None)
            else:
                self.told[backend] = status

    def refreshed(self, backend: str, outcome: Outcome) -> None:
        self.outcomes.append((backend, outcome))


@asynccontextmanager
async def watched(directory: Path | None, pace: Pace = FAST) -> AsyncIterator[Watched]:
    """One that is gone afterwards."""
    found = Watched(directory, pace)
    watching = asyncio.create_task(found.vault.watch())
    try:
        yield found
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
