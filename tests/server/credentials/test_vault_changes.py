"""A configuration that shows a backend something else: it is served when that is there, and the old one until then."""

import asyncio
import hashlib
import json
import threading
from pathlib import Path
from time import monotonic

import pytest

from extproc.config.auth import Auth
from extproc.credentials.held import Missing, Token
from extproc.server.credentials import vault as vault_module
from tests.support.token_servers import HANG, Answer, Asked, TokenServer, token
from tests.support.waiting import eventually
from tests.support.watched_vault import Watched, watched

KEY = Auth.model_validate({"apiKey": {"file": "one"}})
NEW_KEY = Auth.model_validate({"apiKey": {"file": "new"}})


def entra(tenant: str, file: str = "one") -> Auth:
    """A backend with a client secret."""
    return Auth.model_validate({"azure": {"source": "clientSecret", "tenantId": tenant, "clientId": "c", "file": file}})


@pytest.fixture
def folder(tmp_path: Path, server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One file; Entra gives each tenant a token of its name; and files are waited for longer than any test takes."""
    monkeypatch.setattr(vault_module, "_FILE_WAIT_S", 10.0)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", server.url)

    server.answer = lambda asked: token(asked.path.split("/")[1])
    found = tmp_path / "credentials"
    found.mkdir()
    (found / "one").write_text("secret-1")
    return found


async def following(found: Watched, auth: Auth, *callers: str) -> "asyncio.Task[None]":
    """A task that gets ready for a configuration with ``auth`` at backend x, and has begun with it."""
    task = asyncio.create_task(found.vault.follow({"x": auth}, callers))
    await asyncio.sleep(0.05)
    return task


async def test_a_new_tenant_is_served_with_its_token(folder: Path, server: TokenServer) -> None:
    """No configuration is served before its tokens are there; the one before it has its own all the while."""
    gate = threading.Event()
    async with watched(folder) as found:
        await found.follow({"x": entra("t1")})

        def answer(_: Asked) -> Answer:
            gate.wait(5)
            return token("t2")

        server.answer = answer
        task = await following(found, entra("t2"))

        assert not task.done()
        assert found.vault.credential("x", entra("t1")) == Token("t1")
        gate.set()
        await task
        assert found.vault.credential("x", entra("t2")) == Token("t2")


@pytest.mark.parametrize(("auth", "held"), [(NEW_KEY, "late"), (entra("t2", "new"), "t2")])
async def test_a_new_file_is_waited_for(folder: Path, auth: Auth, held: str) -> None:
    """A file that comes after the configuration that names it costs no request, nor does the token that it buys."""
    async with watched(folder) as found:
        await found.follow({"x": KEY})
        task = await following(found, auth)

        assert not task.done()
        assert found.vault.credential("x", KEY) == Token("secret-1")
        (folder / "new").write_text("late")
        await task
        assert found.vault.credential("x", auth) == Token(held)


async def test_a_new_file_of_callers_is_waited_for(folder: Path) -> None:
    """A rule that gets callers is not closed to all of them until its file comes."""
    one = hashlib.sha256(b"1").hexdigest()
    async with watched(folder) as found:
        await found.follow({"x": KEY})
        task = await following(found, KEY, "callers")
        assert not task.done()
        (folder / "callers").write_text(json.dumps({"ann": one}))
        await task

        assert found.vault.callers("callers") == {one: "ann"}


async def test_what_does_not_come_is_not_waited_for_long(
    folder: Path, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file or a token a configuration is served all the same, and the old key is not shown in its name."""
    monkeypatch.setattr(vault_module, "_FILE_WAIT_S", 0.2)
    monkeypatch.setattr(vault_module, "_TOKEN_WAIT_S", 0.2)
    async with watched(folder) as found:
        await found.follow({"x": KEY})
        await found.follow({"x": NEW_KEY})
        assert found.held("x") == Missing("its credential is missing")
        server.answer = lambda _: HANG
        await found.follow({"x": entra("t3")})
        assert found.held("x") == Missing("its access token is being fetched")


async def test_only_what_is_new_is_waited_for(folder: Path) -> None:
    """What was missing before holds up no later configuration, nor the first one."""
    async with watched(folder) as found:
        started = monotonic()
        await found.follow({"x": NEW_KEY, "y": KEY}, "callers")
        await found.follow({"x": NEW_KEY, "y": KEY, "z": KEY}, "callers")
        await found.follow({"x": NEW_KEY, "y": NEW_KEY})

        assert monotonic() - started < 5
        assert found.held("y") == Missing("its credential is missing")


async def test_malformed_is_not_waited_for(folder: Path) -> None:
    """A file that is there but of no use is no reason to wait."""
    (folder / "new").write_bytes(b"\xff")
    async with watched(folder) as found:
        await found.follow({"x": KEY})
        started = monotonic()
        await found.follow({"x": NEW_KEY})

        assert monotonic() - started < 5


async def test_a_refused_token_is_fetched_anew(folder: Path, server: TokenServer) -> None:
    """A token that an upstream does not take any more is replaced at once, but not once a request."""
    tokens = iter(("t1", "t2", "t3"))
    server.answer = lambda _: token(next(tokens))
    auth = entra("t1")
    async with watched(folder) as found:
        await found.follow({"x": auth, "y": KEY})
        for _ in range(20):
            found.vault.refused("x", Auth.model_validate(auth.model_dump(exclude_unset=True)))
            found.vault.refused("y", KEY)
            found.vault.refused("z", KEY)
        await found.holds("x", Token("t2"))
        found.vault.refused("x", auth)
        await asyncio.sleep(0.2)

        assert found.held("x") == Token("t2")
        assert found.held("y") == Token("secret-1")
        assert len(server.asked) == 2


async def test_who_was_refused_before_the_new_token_asks_for_no_other(
    folder: Path, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals that come while a token is being fetched are those of the one before."""
    monkeypatch.setattr("extproc.server.credentials.account._RENEWAL_S", 0.0)
    gate = threading.Event()
    async with watched(folder) as found:
        await found.follow({"x": entra("t1")})

        def answer(_: Asked) -> Answer:
            gate.wait(5)
            return token("t2")

        server.answer = answer
        found.vault.refused("x", entra("t1"))
        await eventually(lambda: len(server.asked) == 2)
        found.vault.refused("x", entra("t1"))
        gate.set()
        await eventually(lambda: found.outcomes.count(("x", "ok")) == 2)
        await asyncio.sleep(0.2)

        assert len(server.asked) == 2
