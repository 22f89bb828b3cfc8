"""Following files."""

import asyncio
import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from controller.standalone.faults import Unreadable
from controller.standalone.manifests import Manifests
from controller.standalone.watch import Sources
from tests.support.waiting import eventually


def manifest(name: str) -> str:
    return f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\n"


def names(change: Manifests | Unreadable) -> list[str] | str:
    if isinstance(change, Unreadable):
        return str(change)
    return [manifest["metadata"]["name"] for manifest in change.objects]


async def test_changes_are_seen_however_they_are_made(tmp_path: Path) -> None:
    """Writing in place, renaming into place, new files, no files and symlinks are changes; touching is not."""
    folder, file = tmp_path / "manifests", tmp_path / "manifests" / "a.yaml"
    folder.mkdir()
    file.write_text(manifest("one"))
    sources = Sources([str(folder)])
    seen: list[list[str] | str] = [names(sources.read())]

    def take(change: Manifests | Unreadable) -> None:
        seen.append(names(change))

    async def follow() -> None:
        async for change in sources.changes():
            take(change)

    async def then(expected: list[str] | str) -> None:
        await eventually(lambda: seen[-1] == expected, f"{expected} was not seen in {seen}")

    following = asyncio.create_task(follow())
    await asyncio.sleep(0.2)  # until the watch is in place: what happens before it is found by the next look only
    file.write_text(manifest("two"))
    await then(["two"])
    file.touch()
    (folder / "draft").write_text(manifest("three"))
    (folder / "draft").replace(file)
    await then(["three"])
    (folder / "b.yaml").write_text(manifest("four"))
    await then(["three", "four"])
    file.unlink()
    await then(["four"])
    (folder / "b.yaml").unlink()
    await then(f"{folder}: no .yaml, .yml, .json files in this directory")
    (folder / "..data").mkdir()
    (folder / "..data" / "c.yaml").write_text(manifest("five"))
    (folder / "c.yaml").symlink_to("..data/c.yaml")
    await then(["five"])
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)

    assert len(seen) == len({str(entry) for entry in seen})


def test_a_trouble_is_told_once_and_its_end_is_a_change(tmp_path: Path) -> None:
    """A file that went away is an error the first time; when it is back, even unchanged, it is read again."""
    file = tmp_path / "a.yaml"
    file.write_text(manifest("one"))
    sources = Sources([str(file)])
    sources.read()
    file.unlink()

    with pytest.raises(Unreadable, match="no such file"):
        sources.maybe_changed()
    assert sources.maybe_changed() is None
    file.write_text(manifest("one"))
    back = sources.maybe_changed()
    assert back is not None
    assert names(back) == ["one"]


def test_a_pipe_is_read_once() -> None:
    """The second look at a process substitution would find nothing."""
    reader, writer = os.pipe()
    os.write(writer, manifest("piped").encode())
    os.close(writer)
    sources = Sources([f"/dev/fd/{reader}"])

    assert names(sources.read()) == ["piped"]
    assert sources.maybe_changed() is None
    assert names(sources.read()) == ["piped"]
    os.close(reader)


def test_standard_input_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be read again, so it never changes."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(manifest("piped").encode())))
    sources = Sources(["-"])

    assert names(sources.read()) == ["piped"]
    assert names(sources.read()) == ["piped"]
    assert sources.maybe_changed() is None


async def test_files_that_a_secret_names_are_followed(tmp_path: Path) -> None:
    """A key that is rotated in its file is a change, though no manifest was written; so is one that goes or comes."""
    (tmp_path / "manifests").mkdir()
    file, key = tmp_path / "manifests" / "a.yaml", tmp_path / "keys" / "openai"
    file.write_text(manifest("one") + "stringData: {apiKey: '${file:../keys/openai}'}\n")
    sources = Sources([str(file)])
    sources.read()
    assert sources.maybe_changed() is None

    key.parent.mkdir()
    for content in (b"old", b"new"):
        key.write_bytes(content)
        assert sources.maybe_changed() is not None
        assert sources.maybe_changed() is None
    changes = sources.changes()
    following = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0.2)
    key.write_bytes(b"newest")
    assert names(await asyncio.wait_for(following, 5)) == ["one"]
    key.unlink()
    assert sources.maybe_changed() is not None
