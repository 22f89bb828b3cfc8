"""Credentials that are files, through everything that can happen to a file."""

import hashlib
import json
import timeit
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from time import monotonic

import pytest

from extproc.config.auth import Auth
from extproc.credentials.held import AwsKeys, Missing, Token
from extproc.server.credentials import vault as vault_module
from extproc.server.credentials.vault import Vault
from tests.support.configmap_volume import ConfigMapVolume
from tests.support.waiting import eventually
from tests.support.watched_vault import Watched, watched

MARK = "mArKeD"
KEY = Auth.model_validate({"apiKey": {"file": "t.a.1"}})
OTHER_KEY = Auth.model_validate({"apiKey": {"file": "t.b.2"}})
AWS = Auth.model_validate({"aws": {"source": "keys", "file": "t.aws.3"}})
INI = b"[default]\naws_access_key_id=%s\naws_secret_access_key=mArKeD\n"


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Watched]:
    """A vault over ``tmp_path/c`` that knows the backends a and b, each with a key, and aws."""
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "t.a.1").write_text("key-a\n")
    (folder / "t.b.2").write_text("key-b")
    (folder / "t.aws.3").write_bytes(INI % b"AKIA1")
    async with watched(folder) as found:
        await found.follow({"a": KEY, "b": OTHER_KEY, "aws": AWS})
        yield found


async def test_files_are_read_before_a_configuration_is_served(files: Watched) -> None:
    """As soon as a configuration is followed, what its backends are shown is there."""
    assert files.held("a") == Token("key-a")
    assert files.held("b") == Token("key-b")
    assert files.held("aws") == AwsKeys("AKIA1", MARK)


@pytest.mark.parametrize(
    ("auth", "held"),
    [
        ({"apiKey": {"file": "key"}}, Token("k")),
        ({"aws": {"source": "bedrockAPIKey", "file": "key"}}, Token("k")),
        ({"passthrough": {"file": "key"}}, Token("k")),
        ({"passthrough": {}}, Missing("it has no credential of the gateway's own")),
        ({"none": {}}, Missing("it has no credential of the gateway's own")),
    ],
)
async def test_every_kind_of_key(tmp_path: Path, auth: object, held: object) -> None:
    """Each kind that is a text is read as one; a backend without a credential has none."""
    (tmp_path / "key").write_text("k")
    async with watched(tmp_path) as found:
        await found.follow({"x": Auth.model_validate(auth)})

        assert found.held("x") == held


async def test_swaps_are_live_within_half_a_second(tmp_path: Path) -> None:
    """Every swap of a Secret volume is seen, the later ones too, and the median one is live within 500 ms."""
    volume = ConfigMapVolume(tmp_path / "mount")
    volume.swap({"t.a.1": b"0", "t.b.2": b"b"})
    seconds = []
    async with watched(volume.mount) as found:
        await found.follow({"a": KEY, "b": OTHER_KEY})
        for turn in range(1, 6):
            swapped = monotonic()
            volume.swap({"t.a.1": str(turn).encode(), "t.b.2": b"b"})
            await found.holds("a", Token(str(turn)))
            seconds.append(monotonic() - swapped)
        assert found.held("b") == Token("b")

    assert median(seconds) < 0.5, seconds


async def test_writes_in_place_and_renames(files: Watched, tmp_path: Path) -> None:
    """Whatever way a file is changed, its new content counts."""
    (tmp_path / "c" / "t.a.1").write_text("in place")
    await files.holds("a", Token("in place"))
    (tmp_path / "new").write_text("renamed")
    (tmp_path / "new").rename(tmp_path / "c" / "t.a.1")

    await files.holds("a", Token("renamed"))


@pytest.mark.parametrize("content", [b"", b"mArKeD\nx", b"\xffmArKeD", b"\x01mArKeD"])
async def test_a_malformed_content_leaves_the_last_good_one(
    files: Watched, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported by its backend and its fault, never by its content, and the next good one is taken."""
    (tmp_path / "c" / "t.a.1").write_bytes(content)
    status = await files.is_told("a", "failing")

    assert files.held("a") == Token("key-a")
    assert "malformed" in (status.error or "")
    assert "credential of 'a' (apiKey, file t.a.1): its file is malformed" in caplog.text
    assert MARK not in caplog.text + repr(status)
    (tmp_path / "c" / "t.a.1").write_text("good")
    await files.holds("a", Token("good"))
    await files.is_told("a", "ok")
    assert files.outcomes[-2:] == [("a", "error"), ("a", "ok")]


async def test_malformed_from_the_beginning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a last good one the backend has none, and a client is told no more than that."""
    (tmp_path / "t.aws.3").write_bytes(b"[default]\nmArKeD")
    async with watched(tmp_path) as found:
        await found.follow({"aws": AWS})

        assert found.held("aws") == Missing("its credential is malformed")
        assert MARK not in caplog.text


async def test_keys_that_stay_the_same_stay_one_object(files: Watched, tmp_path: Path) -> None:
    """What a signer derives of keys is kept with them, so equal keys do not become new ones."""
    first = files.held("aws")
    (tmp_path / "c" / "t.aws.3").write_bytes(b"# rotated, it says\n" + INI % b"AKIA1")
    await eventually(lambda: files.outcomes.count(("aws", "ok")) == 2)

    assert files.held("aws") is first


async def test_a_deleted_file_is_gone(files: Watched, tmp_path: Path) -> None:
    """Who deletes a key means it; the other backends go on, and the file may come back."""
    path = tmp_path / "c" / "t.a.1"
    path.unlink()
    await files.holds("a", Missing("its credential is missing"))
    assert files.held("b") == Token("key-b")
    assert (await files.is_told("a", "missing")).error == "its file does not exist"
    path.write_text("back")

    await files.holds("a", Token("back"))


async def test_a_directory_that_comes_later(tmp_path: Path) -> None:
    """Files may arrive after the configuration that names them, with their directory."""
    async with watched(tmp_path / "later") as found:
        await found.follow({"a": KEY})
        assert found.held("a") == Missing("its credential is missing")
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "t.a.1").write_text("key-a")

        await found.holds("a", Token("key-a"))


async def test_no_directory_at_all(tmp_path: Path) -> None:
    """A processor that was started without one says so."""
    async with watched(None) as found:
        await found.follow({"a": KEY}, "callers")

        assert found.held("a") == Missing("this processor was started without a credentials directory")
        assert found.vault.callers("callers") is None


async def test_files_of_the_next_configuration(files: Watched) -> None:
    """A backend that is shown something else has it at once; its old exchanges have the old one still."""
    await files.follow({"a": OTHER_KEY})

    assert files.held("a") == Token("key-b")
    assert files.vault.credential("a", KEY) == Token("key-a")
    assert files.vault.credential("b", OTHER_KEY) == Token("key-b")
    assert files.vault.credential("a", AWS) == Missing("its credential is not loaded yet")
    await eventually(lambda: set(files.told) == {"a"})


async def test_what_is_retired_is_forgotten(files: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while nothing of an old configuration is kept or read."""
    monkeypatch.setattr(vault_module, "_RETIRED_S", 0.05)
    await files.follow({"a": OTHER_KEY})

    await eventually(lambda: files.vault.credential("a", KEY) == Missing("its credential is not loaded yet"))
    assert files.held("a") == Token("key-b")


async def test_a_configuration_that_comes_back(files: Watched) -> None:
    """There and back again ends where it began."""
    await files.follow({})
    await files.follow({"a": Auth.model_validate({"apiKey": {"file": "t.a.1"}})})

    assert files.held("a") == Token("key-a")
    await files.is_told("a", "ok")


async def test_callers_are_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file of callers is known from the first moment on, and changes, breaks and goes as keys do."""
    one, two = (hashlib.sha256(key).hexdigest() for key in (b"1", b"2"))
    path = tmp_path / "t.r.callers.1"
    path.write_text(json.dumps({"ann": one}))
    async with watched(tmp_path) as found:
        await found.follow({}, path.name)
        assert found.vault.callers(path.name) == {one: "ann"}
        path.write_text(json.dumps({"ann": one, "bob": two, "eve": two}))
        await eventually(lambda: found.vault.callers(path.name) == {one: "ann", two: "bob"})
        assert "'eve' has the key of 'bob'" in caplog.text
        path.write_text('{"ann": "mArKeD"}')
        await eventually(lambda: "malformed" in caplog.text)
        assert found.vault.callers(path.name) == {one: "ann", two: "bob"}
        path.unlink()
        await eventually(lambda: found.vault.callers(path.name) is None)

    assert MARK not in caplog.text
    assert one not in caplog.text


async def test_many_files_that_change_at_once(tmp_path: Path) -> None:
    """Five hundred rotated keys are live as soon as one: waiting for writers is done for all together."""
    volume = ConfigMapVolume(tmp_path / "mount")
    names = [f"t.x{i}.1" for i in range(500)]
    volume.swap(dict.fromkeys(names, b"old"))
    async with watched(volume.mount) as found:
        await found.follow({name: Auth.model_validate({"apiKey": {"file": name}}) for name in names})
        volume.swap(dict.fromkeys(names, b"new"))
        swapped = monotonic()
        await eventually(lambda: all(found.held(name) == Token("new") for name in names))

        assert monotonic() - swapped < 5


async def test_a_lookup_takes_no_time(files: Watched) -> None:
    """A credential is a dict access away: under a microsecond, at its best."""
    vault: Vault = files.vault
    best = min(timeit.repeat(lambda: vault.credential("a", KEY), number=2000, repeat=20)) / 2000

    assert best < 1e-6
