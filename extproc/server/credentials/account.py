"""One credential of the gateway's own: what is held of it now, what is wrong with it, and what keeps it fresh."""

import asyncio
import logging
import pkgutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from extproc.credentials.held import Held, Missing
from extproc.server.credentials.contents import MalformedError
from extproc.server.credentials.pace import Pace
from extproc.server.credentials.provider import Fetched, FetchError, Provider
from extproc.server.credentials.sources import Source
from extproc.server.credentials.threads import OwnThreads
from extproc.server.logs import withhold_texts

#: How long a fetch may take in all, seconds; its requests have limits of their own, well below.
_FETCH_LIMIT_S: Final = 30.0
#: How many attempts that were given up may be alive: a library or a name server may let one hang for very long.
_MAX_GIVEN_UP: Final = 2
#: An upstream's refusals make an account fetch at most this often, seconds.
_RENEWAL_S: Final = 10.0
#: Wall clocks are set and machines sleep, so a token's end is looked for at least this often, seconds.
_LOOK_S: Final = 30.0
_NOT_READ: Final = Missing("its credential has not been read yet")
_NOT_FETCHED: Final = Missing("its access token is being fetched")
_LATE: Final = "its access token cannot be fetched in time"
_GONE: Final = Missing("its credential is missing")
_UNREADABLE: Final = Missing("its credential cannot be read")
_MALFORMED: Final = Missing("its credential is malformed")

_log = logging.getLogger(__name__)
_log.addFilter(withhold_texts)

Outcome = Literal["ok", "error"]


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """What may be known of a credential.

    ``state``: ok; failing: one is there, but the last attempt to renew it was in vain; missing. ``expires_at``: Unix
    seconds, None where it is not known. ``error``: what went wrong last, if it still does.
    """

    kind: str
    state: Literal["ok", "failing", "missing"]
    expires_at: float | None = None
    error: str | None = None


class Account:
    """Read ``held`` at any time, on the event loop that made this. ``backends``: who is shown it.

    ``told`` is called after each attempt to renew it, with its outcome, and without one when it has expired.
    """

    def __init__(self, source: Source, told: Callable[["Account", Outcome | None], None], pace: Pace) -> None:
        self.source = source
        self.held: Held = _NOT_READ if source.file is not None else _NOT_FETCHED
        self.backends: frozenset[str] = frozenset()
        self._told = told
        self._pace = pace
        self._expires_at: float | None = None
        self._margin_s = 0.0
        self._threads = OwnThreads("credential")
        #: Set to end a wait for the next fetch.
        self._hurried = asyncio.Event()
        self._renewed: float | None = None
        #: What went wrong last: in words for the log, and in those for clients.
        self._error = ""
        self._failure: Missing | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        if source.file is None:
            self._keep(())

    @property
    def pending(self) -> bool:
        """Whether nothing is held yet, and it is not known how the first attempt ends."""
        return self.held is _NOT_READ or self.held is _NOT_FETCHED

    @property
    def absent(self) -> bool:
        """Whether there is no file."""
        return self.held is _GONE

    @property
    def status(self) -> CredentialStatus:
        """As of now."""
        if isinstance(self.held, Missing):
            return CredentialStatus(self.source.kind, "missing", None, self._error or self.held.reason)
        if self._error:
            return CredentialStatus(self.source.kind, "failing", self._expires_at, self._error)
        return CredentialStatus(self.source.kind, "ok", self._expires_at)

    def close(self) -> None:
        """Fetch no more. A fetch that is under way ends by itself, and nobody hears of it."""
        if self._keeping is not None:
            self._keeping.cancel()
        if self._expiry is not None:
            self._expiry.cancel()

    def renew(self) -> None:
        """An upstream has refused what is held: fetch now, at most once in ten seconds. Files are followed anyway."""
        now = time.monotonic()
        if self._keeping is None or (self._renewed is not None and now - self._renewed < _RENEWAL_S):
            return
        self._renewed = now
        self._hurried.set()

    def refuse(self, held: Missing) -> None:
        """There is no file, and there will be none."""
        self._lose(held, held.reason)

    def read(self, content: bytes | OSError) -> None:
        """Take a new content of the file: use it, or fetch with it. What cannot be used leaves the last good one.

        A file that is gone leaves nothing: whoever deletes a key means it.
        """
        if isinstance(content, FileNotFoundError):
            self._lose(_GONE, "its file does not exist")
            return
        if isinstance(content, OSError):
            self._fail(_UNREADABLE, f"its file cannot be read: {content.strerror}")
            return
        assert self.source.read is not None
        try:
            value = self.source.read(content)
        except MalformedError as error:
            self._fail(_MALFORMED, f"its file is malformed: {error}")
            return
        if self.source.provider:
            if isinstance(self.held, Missing):
                self.held = _NOT_FETCHED
            self._keep((value,))
        else:
            self._hold(Fetched(value))

    def _lose(self, held: Missing, error: str) -> None:
        self.close()
        self.held, self._expires_at = held, None
        self._fail(held, error)

    def _keep(self, values: tuple[Any, ...]) -> None:
        """Fetch now and for ever with ``values``; a fetch with older ones is given up, however long it takes."""
        if self._keeping is not None:
            self._keeping.cancel()
        self._keeping = asyncio.create_task(self._keep_fresh(values), name=f"credential {self.source.kind}")

    async def _keep_fresh(self, values: tuple[Any, ...]) -> None:
        make = partial(_made, self.source, values)
        provider: Provider | None = None
        failures = 0
        while True:
            call = make if provider is None else partial(_again, provider)
            attempt = asyncio.ensure_future(_attempt(call, self._threads))
            try:
                await asyncio.wait({attempt})
            finally:
                attempt.cancel()
            error = attempt.exception()
            if error is None:
                provider, fetched = attempt.result()
                failures = 0
                self._hold(fetched)
                wait = self._pace.refresh_in(time.time(), fetched.expires_at, self._pace.draw())
            else:
                # A fetch that was given up may still be using this one.
                provider = None
                failures += 1
                wait = self._pace.retry_in(failures, self._pace.draw())
                self._fail_to_fetch(error)
            # Who was refused meanwhile was shown the one before.
            self._hurried.clear()
            await _sleep(wait, self._hurried)

    def _hold(self, fetched: Fetched) -> None:
        if self._error:
            _log.info("credential of %s: it is well again", self._names())
        # Equal keys stay the same object: what is derived of them is kept with them.
        if fetched.held != self.held:
            self.held = fetched.held
            self._margin_s = self._pace.margin(time.time(), fetched.expires_at)
        self._expires_at = fetched.expires_at
        self._error, self._failure = "", None
        self._watch_expiry()
        self._tell("ok")

    def _fail_to_fetch(self, error: BaseException) -> None:
        if isinstance(error, FetchError):
            self._fail(Missing(error.reason), str(error))
        elif isinstance(error, TimeoutError):
            self._fail(Missing(_LATE), f"no token in {_FETCH_LIMIT_S:g} s")
        else:
            _log.error("credential of %s: a bug of its provider", self._names(), exc_info=error)
            self._fail(Missing("its access token cannot be fetched"), f"internal error: {type(error).__name__}")

    def _fail(self, missing: Missing, error: str) -> None:
        self._failure = missing
        if isinstance(self.held, Missing):
            self.held = missing
        if error != self._error:
            left = "its requests get 503" if isinstance(self.held, Missing) else "the last good one is used"
            _log.warning("credential of %s: %s; %s", self._names(), error, left)
        self._error = error
        self._tell("error")

    def _watch_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self._expires_at is None:
            return
        left = self._expires_at - self._margin_s - time.time()
        if left > 0:
            self._expiry = asyncio.get_running_loop().call_later(min(left, _LOOK_S), self._watch_expiry)
            return
        self.held = self._failure or Missing("its access token has expired")
        self._expires_at = None
        _log.error("credential of %s: the last good one has expired", self._names())
        self._told(self, None)

    def _tell(self, outcome: Outcome) -> None:
        self._told(self, outcome)

    def _names(self) -> str:
        names = sorted(self.backends)
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        file = f", file {self.source.file}" if self.source.file is not None else ""
        return f"{', '.join(map(repr, names[:3]))}{more} ({self.source.kind}{file})"


async def _sleep(seconds: float, hurried: asyncio.Event) -> None:
    """Sleep until either clock says that it is enough: the monotonic one stands still while a machine sleeps.

    ``hurried`` ends it, too.
    """
    monotonic, wall = time.monotonic() + seconds, time.time() + seconds
    while True:
        left = min(monotonic - time.monotonic(), wall - time.time())
        if left <= 0 or hurried.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(min(left, _LOOK_S)):
                await hurried.wait()


async def _attempt(call: Callable[[], tuple[Provider, Fetched]], threads: OwnThreads) -> tuple[Provider, Fetched]:
    if threads.alive >= _MAX_GIVEN_UP:
        raise FetchError(_LATE, f"{_MAX_GIVEN_UP} earlier attempts have not ended")
    provider, fetched = await threads.run(call, _FETCH_LIMIT_S)
    if fetched.expires_at is not None and fetched.expires_at <= time.time():
        raise FetchError("its token endpoint gives no usable answer", "the token has already expired")
    return provider, fetched


def _made(source: Source, values: tuple[Any, ...]) -> tuple[Provider, Fetched]:
    try:
        make = pkgutil.resolve_name(source.provider)
    except ImportError:
        advice = f"the extra {source.extra!r} is not installed: pip install 'llmroute[{source.extra}]'"
        raise FetchError("the gateway lacks the library for it", advice) from None
    try:
        provider = make(*values, *source.settings)
    except MalformedError as error:
        raise FetchError(_MALFORMED.reason, str(error)) from None
    return _again(provider)


def _again(provider: Provider) -> tuple[Provider, Fetched]:
    return provider, provider.fetch()
