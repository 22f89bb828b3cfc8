"""Tokens that are fetched ahead: kept fresh, kept apart, and gone when they are over."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from extproc.config.auth import Auth
from extproc.credentials.held import Missing, Token
from extproc.server.credentials import account
from extproc.server.credentials import vault as vault_module
from extproc.server.credentials.pace import Pace
from tests.support.token_servers import (
    HANG,
    Answer,
    Asked,
    TokenServer,
    sts_refusal,
    token,
    token_server,
    told,
)
from tests.support.waiting import eventually
from tests.support.watched_vault import EAGER, watched

MARK = "mArKeD"


def entra(file: str, tenant: str = "t") -> Auth:
    """A backend with a client secret."""
    return Auth.model_validate({"azure": {"source": "clientSecret", "tenantId": tenant, "clientId": "c", "file": file}})


@pytest.fixture
def folder(tmp_path: Path, server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Client secrets of two backends, and Entra on this machine, which gives t1 to tenant t and t2 to others."""
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", server.url)
    found = tmp_path / "credentials"
    found.mkdir()
    (found / "one").write_text("secret-1")
    (found / "two").write_text("secret-2")
    server.answer = lambda asked: token("t1" if asked.path.startswith("/t/") else "t2")
    return found


def sequence(*answers: Answer) -> Callable[[Asked], Answer]:
    """One answer after another; the last one for ever."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


async def test_the_first_token_is_there_when_the_first_configuration_is_served(folder: Path) -> None:
    """A new pod does not begin with errors; its token's end is known."""
    async with watched(folder) as found:
        await found.follow({"x": entra("one")})

        assert found.held("x") == Token("t1")
        status = await found.is_told("x", "ok")
        assert status.kind == "azure/clientSecret"
        assert status.expires_at == pytest.approx(time.time() + 3600, abs=10)
        assert found.outcomes == [("x", "ok")]


async def test_a_provider_that_hangs_delays_nobody(
    folder: Path, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one backend's endpoint says nothing, others are served and renewed; it has no token, and says so."""
    monkeypatch.setattr(vault_module, "_TOKEN_WAIT_S", 0.3)
    monkeypatch.setattr(account, "_FETCH_LIMIT_S", 0.5)
    server.answer = lambda asked: HANG if asked.path.startswith("/slow/") else token("t")
    async with watched(folder, EAGER) as found:
        started = time.monotonic()
        await found.follow({"slow": entra("one", "slow"), "fast": entra("two", "fast")})
        assert time.monotonic() - started < 5
        await found.holds("fast", Token("t"))
        await eventually(lambda: found.outcomes.count(("fast", "ok")) >= 5)
        await found.holds("slow", Missing("its access token cannot be fetched in time"))
        assert found.held("fast") == Token("t")


async def test_a_process_ends_while_a_fetch_hangs(folder: Path, server: TokenServer) -> None:
    """Ending waits for no provider, and leaves no thread that could keep the interpreter."""
    server.answer = lambda _: HANG
    async with watched(folder) as found:
        following = asyncio.create_task(found.follow({"x": entra("one")}))
        await eventually(lambda: server.asked)
        following.cancel()
        started = time.monotonic()

    assert time.monotonic() - started < 5
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "credential")


async def test_attempts_that_hang_do_not_pile_up(
    folder: Path, server: TokenServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While two attempts that were given up are alive there is no third one; afterwards it goes on."""
    monkeypatch.setattr(account, "_FETCH_LIMIT_S", 0.05)
    gate = threading.Event()

    def hang(_: Asked) -> Answer:
        gate.wait(10)
        return token("late")

    server.answer = hang
    async with watched(folder) as found:
        await found.follow({"x": entra("one")})
        await eventually(lambda: "2 earlier attempts have not ended" in caplog.text)
        await asyncio.sleep(0.5)
        assert len(server.asked) == 2
        assert sum(thread.name == "credential" for thread in threading.enumerate()) == 2
        assert found.held("x") == Missing("its access token cannot be fetched in time")
        monkeypatch.setattr(account, "_FETCH_LIMIT_S", 10.0)
        gate.set()

        await found.holds("x", Token("late"))


async def test_a_token_is_let_go_before_its_end(folder: Path, server: TokenServer) -> None:
    """No request is on its way with a token that ends meanwhile; until then it serves, and its real end is told."""

    class Wary(Pace):
        def margin(self, now: float, expires_at: float | None) -> float:
            del now, expires_at
            return 599.0

    server.answer = sequence(token("t1", 600), Answer(500))
    async with watched(folder, Wary(least=0.05, first_retry=0.05, longest_retry=0.1)) as found:
        await found.follow({"x": entra("one")})
        assert found.held("x") == Token("t1")
        ends = (await found.is_told("x", "ok")).expires_at
        await found.holds("x", Missing("its access token has expired"))

        assert ends == pytest.approx(time.time() + 600, abs=60)


async def test_tokens_are_renewed_before_their_end(folder: Path, server: TokenServer) -> None:
    """A new token is there before the old one is over: nobody ever meets a gap."""
    server.answer = sequence(token("t1"), token("t2"), token("t3"))
    async with watched(folder, EAGER) as found:
        await found.follow({"x": entra("one")})
        seen = [found.held("x")]
        while seen[-1] != Token("t3"):
            await asyncio.sleep(0.005)
            seen.append(found.held("x"))

    assert set(seen) == {Token("t1"), Token("t2"), Token("t3")}


async def test_the_last_good_token_serves_until_its_own_end(
    folder: Path, server: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    """An endpoint that fails takes nothing away before the token's end; then the reason is told, and then it heals."""
    bad = told({"error": "invalid_client", "error_description": MARK}, 401)
    server.answer = sequence(token("t1", 3), bad)
    async with watched(folder, EAGER) as found:
        await found.follow({"x": entra("one")})
        status = await found.is_told("x", "failing")
        assert found.held("x") == Token("t1")
        assert status.error == "its token endpoint refuses the gateway (HTTP 401): invalid_client"
        await found.holds("x", Missing("its token endpoint refuses the gateway (HTTP 401)"))
        server.answer = lambda _: token("t2")
        await found.holds("x", Token("t2"))
        await found.is_told("x", "ok")

    assert "'x'" in caplog.text
    assert "expired" in caplog.text
    assert MARK not in caplog.text
    assert "secret-1" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(500), "its token endpoint is failing (HTTP 500)"),
        (told({"error": "invalid_client"}, 400), "its token endpoint refuses the gateway (HTTP 400)"),
        (token("t", 1e-9), "its token endpoint gives no usable answer"),
        (Answer(200, b"<html>"), "its token endpoint gives no usable answer"),
    ],
)
async def test_no_first_token(folder: Path, server: TokenServer, answer: Answer, reason: str) -> None:
    """The reason is told to clients without a word of the endpoint's; trying goes on, and others are not concerned."""
    server.answer = lambda asked: answer if asked.path.startswith("/t/") else token("t2")
    async with watched(folder) as found:
        await found.follow({"x": entra("one"), "y": entra("two", "other")})
        assert found.held("x") == Missing(reason)
        assert found.held("y") == Token("t2")
        server.answer = lambda _: token("t1")

        await found.holds("x", Token("t1"))


async def test_a_slow_answer_is_waited_for(folder: Path, server: TokenServer) -> None:
    """Slow is not failed."""

    def slow(_: Asked) -> Answer:
        time.sleep(0.3)
        return token("late")

    server.answer = slow
    async with watched(folder) as found:
        await found.follow({"x": entra("one")})

        assert found.outcomes == [("x", "ok")]


async def test_a_rotated_secret_is_used_at_once(folder: Path, server: TokenServer) -> None:
    """The old token serves until the new secret has one, even while the old secret's fetch hangs."""
    server.answer = lambda asked: {"secret-1": token("t1"), "secret-3": token("t3")}.get(
        asked.form["client_secret"], HANG
    )
    async with watched(folder) as found:
        await found.follow({"x": entra("one")})
        assert found.held("x") == Token("t1")
        (folder / "one").write_text("secret-that-hangs")
        await eventually(lambda: len(server.asked) == 2)
        assert found.held("x") == Token("t1")
        (folder / "one").write_text("secret-3")

        await found.holds("x", Token("t3"))


async def test_a_malformed_secret_keeps_the_old_one_going(folder: Path, server: TokenServer) -> None:
    """Tokens are renewed with the last good secret while the file is broken."""
    server.answer = lambda _: token("t1")
    async with watched(folder, EAGER) as found:
        await found.follow({"x": entra("one")})
        (folder / "one").write_bytes(b"\xff")
        await eventually(lambda: ("x", "error") in found.outcomes)
        asked = len(server.asked)
        await eventually(lambda: len(server.asked) > asked + 1)

        assert found.held("x") == Token("t1")
        assert {a.form["client_secret"] for a in server.asked} == {"secret-1"}


async def test_a_deleted_secret_takes_its_token_along(folder: Path, server: TokenServer) -> None:
    """Nothing that it bought is shown any more, nor what a fetch that was under way brings."""
    gate = threading.Event()
    server.answer = lambda _: token("t1")
    async with watched(folder, EAGER) as found:
        await found.follow({"x": entra("one")})

        def late(_: Asked) -> Answer:
            gate.wait(5)
            return token("late")

        server.answer = late
        asked = len(server.asked)
        await eventually(lambda: len(server.asked) > asked)
        (folder / "one").unlink()
        await found.holds("x", Missing("its credential is missing"))
        gate.set()
        await asyncio.sleep(0.2)

        assert found.held("x") == Missing("its credential is missing")


async def test_backends_with_the_same_identity_share_one_token(folder: Path, server: TokenServer) -> None:
    """What is equal is fetched once, and told of each."""
    async with watched(folder) as found:
        await found.follow({"x": entra("one"), "y": entra("one")})

        assert (found.held("x"), found.held("y")) == (Token("t1"), Token("t1"))
        assert len(server.asked) == 1
        assert sorted(found.outcomes) == [("x", "ok"), ("y", "ok")]


@pytest.mark.parametrize(
    ("auth", "library", "extra"),
    [({"aws": {}}, "botocore.session", "aws"), ({"gcp": {}}, "google.auth", "gcp")],
)
async def test_a_library_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, auth: object, library: str, extra: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what to install; clients hear that it is the gateway's fault, and nothing crashes."""
    monkeypatch.delitem(sys.modules, f"extproc.server.credentials.{extra}", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    async with watched(None) as found:
        await found.follow({"x": Auth.model_validate(auth)})

        assert found.held("x") == Missing("the gateway lacks the library for it")
        assert f"pip install 'llmroute[{extra}]'" in caplog.text


async def test_a_bug_of_a_provider(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its lines and without its words, counts as a failure, and is tried again."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError(MARK)

    with monkeypatch.context() as patched:
        patched.setattr("extproc.server.credentials.azure.ask", fail)
        async with watched(folder) as found:
            await found.follow({"x": entra("one")})
            assert found.held("x") == Missing("its access token cannot be fetched")
            patched.undo()
            patched.setenv("AZURE_AUTHORITY_HOST", "http://127.0.0.1:1")
            await found.holds("x", Missing("its token endpoint cannot be reached"))

    assert "ZeroDivisionError (text withheld)" in caplog.text
    assert MARK not in caplog.text


async def test_every_cloud_at_once_with_one_of_them_broken(
    folder: Path, server: TokenServer, identity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS refuses, Google and Entra give: each backend has what is its own."""
    with token_server() as aws, token_server() as google:
        aws.answer = lambda _: sts_refusal("AccessDenied", "no")
        google.answer = lambda _: token("g")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.url)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(identity))
        monkeypatch.setenv("LLMROUTE_GCP_STS_URL", google.url)
        monkeypatch.setenv("LLMROUTE_GCP_TOKEN_FILE", str(identity))
        auths = {
            "aws": {"aws": {"source": "webIdentity", "roleArn": "arn:aws:iam::123456789012:role/llm"}},
            "gcp": {"gcp": {"source": "workloadIdentity", "audience": "a"}},
        }
        async with watched(folder) as found:
            await found.follow(
                {"azure": entra("one"), **{name: Auth.model_validate(auth) for name, auth in auths.items()}}
            )
            await found.holds("azure", Token("t1"))
            await found.holds("gcp", Token("g"))
            await found.holds("aws", Missing("its token endpoint refuses the gateway (HTTP 403)"))
