"""Reading files that others write."""

from pathlib import Path

import pytest

from extproc.server.watching import read_settled


def test_a_write_that_goes_on_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read is whole, for all files together, and one that nobody writes is read once."""
    growing, other, missing = tmp_path / "growing", tmp_path / "other", tmp_path / "missing"
    growing.write_text("x")
    other.write_text("y")
    pauses = []

    def write_more(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) < 4:
            growing.write_text("x" * (len(pauses) + 1))

    monkeypatch.setattr("extproc.server.watching.time.sleep", write_more)
    read = read_settled([growing, other, missing])

    assert (read[growing].content, read[other].content) == (b"xxxx", b"y")
    assert isinstance(read[missing].content, FileNotFoundError)
    assert len(pauses) == 4
    assert "xxxx" not in repr(read[growing])


def test_a_write_without_end_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while what is there is taken; it is looked at again, as its stamp is young."""
    path = tmp_path / "log"
    path.write_text("")
    pauses = []

    def write_more(seconds: float) -> None:
        pauses.append(seconds)
        path.write_text("x" * len(pauses))

    monkeypatch.setattr("extproc.server.watching.time.sleep", write_more)
    reading = read_settled([path])[path]

    assert len(pauses) == 9
    assert reading.young
    assert reading.is_stale(path)
