"""The private directory."""

import json
import os
import stat
import tempfile
from pathlib import Path

import pytest

from controller.standalone.workspace import Unusable, Workspace, temporary_workspace


def test_the_workspace_is_private_and_goes_away() -> None:
    """Only we can look inside, and nothing is left."""
    with temporary_workspace() as workspace:
        mode = stat.S_IMODE(workspace.root.stat().st_mode)
        workspace.write(workspace.config, {"a": 1})

        assert mode == 0o700
        assert json.loads(workspace.config.read_text()) == {"a": 1}
    assert not workspace.root.exists()


def test_files_are_replaced_by_renaming_and_only_when_they_change() -> None:
    """A reader that has the old file open keeps it whole; equal content is not written at all."""
    with temporary_workspace() as workspace:
        path = workspace.xds("rds")

        assert workspace.write(path, {"version_info": "1"})
        with path.open() as reader:
            assert workspace.write(path, {"version_info": "2"})
            assert json.load(reader) == {"version_info": "1"}
        inode = path.stat().st_ino
        assert not workspace.write(path, {"version_info": "2"})
        assert path.stat().st_ino == inode
        assert [child.name for child in path.parent.iterdir()] == ["rds.json"]


def test_credentials_are_for_our_eyes_only_and_go_when_they_are_not_needed() -> None:
    """Only the files that are asked for are there, each whole, and one that stays the same is not touched."""
    with temporary_workspace() as workspace:
        workspace.hold(workspace.credentials, {"a": b"1", "b": b"2"})
        inode = (workspace.credentials / "b").stat().st_ino
        workspace.hold(workspace.credentials, {"b": b"2", "c" * 253: b"3"})
        files = {path.name: path.read_bytes() for path in workspace.credentials.iterdir()}
        modes = {stat.S_IMODE(path.stat().st_mode) for path in workspace.credentials.iterdir()}

        assert files == {"b": b"2", "c" * 253: b"3"}
        assert (workspace.credentials / "b").stat().st_ino == inode
        assert modes == {0o600}
        assert stat.S_IMODE(workspace.credentials.stat().st_mode) == 0o700


def test_worker_addresses_are_those_that_extproc_makes() -> None:
    """Worker i listens on the path of ``--listen`` with its number."""
    assert Workspace(Path("/w")).worker(3) == "unix:///w/run/worker.3"
    assert Workspace(Path("/w")).listen == "unix:///w/run/worker"


def test_a_long_temporary_directory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets need short paths: where the usual directory is too deep, another is taken, or an error names all."""
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))

    with temporary_workspace() as workspace:
        assert len(os.fsencode(workspace.root / "pymp-12345678/listener-12345678")) <= 107
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(Unusable, match="set TMPDIR"), temporary_workspace():
        pass
