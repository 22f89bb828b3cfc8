"""Supervision, with real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.standalone.processes import Child, ChildFailed, Patience, Program, first_failure
from tests.support.waiting import eventually, is_alive, until

HASTY = Patience(first_s=0.01, longest_s=0.02, settled_s=60, deaths=3)


def python(code: str) -> Program:
    return Program("worker", (sys.executable, "-c", code))


async def test_a_child_that_never_worked_is_not_restarted() -> None:
    """A death before ``trust`` is final, and its exit code is passed on."""
    child = Child(python("raise SystemExit(7)"), print, HASTY)
    await child.start()

    with pytest.raises(ChildFailed, match="worker exited with code 7 before it was ready") as failed:
        await first_failure([child])
    await child.stop(1)

    assert failed.value.exit_code == 7
    assert child.starts == 1


async def test_a_trusted_child_is_restarted_until_patience_ends() -> None:
    """A child that has worked is started again, with pauses, and given up in the end."""
    said: list[str] = []
    child = Child(python("raise SystemExit(0)"), said.append, HASTY)
    await child.start()
    child.trust()

    with pytest.raises(ChildFailed, match="3 times in a row") as failed:
        await first_failure([child])
    await child.stop(1)

    assert child.starts == 3
    assert failed.value.exit_code == 1
    assert said == [f"worker exited with code 0; starting it again in {pause} s" for pause in ("0.01", "0.02")]


async def test_a_killed_child_comes_back_without_what_it_left_behind(tmp_path: Path) -> None:
    """After a crash the processes that the child had started are gone before its successor starts."""
    said: list[str] = []
    code = (
        "import subprocess, time, os, pathlib\n"
        "orphan = subprocess.Popen(['sleep', '100'])\n"
        f"pathlib.Path({str(tmp_path)!r}, str(os.getpid())).write_text(str(orphan.pid))\n"
        "time.sleep(100)"
    )
    child = Child(python(code), said.append, HASTY)
    await child.start()
    child.trust()
    first = child.pid or 0
    await eventually((tmp_path / str(first)).exists)
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: child.starts == 2)
    orphan = int((tmp_path / str(first)).read_text())
    await eventually(lambda: not is_alive(orphan))
    second = child.pid or 0
    await child.stop(5)

    assert second not in (0, first)
    assert said == ["worker was killed by SIGKILL; starting it again in 0.01 s"]
    assert not is_alive(second)


@pytest.mark.parametrize(("on_term", "is_quick"), [("raise SystemExit(0)", True), ("pass", False)])
async def test_stop_asks_first_and_kills_after_the_grace(tmp_path: Path, on_term: str, is_quick: bool) -> None:
    """SIGTERM ends a child that listens to it; one that does not is killed when its time is over."""
    code = (
        "import signal, time, pathlib\n"
        f"def end(*_):\n    {on_term}\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"pathlib.Path({str(tmp_path / 'up')!r}).touch()\n"
        "while True: time.sleep(1)"
    )
    child = Child(python(code), print)
    await child.start()
    pid = child.pid or 0
    await eventually((tmp_path / "up").exists)
    started = time.monotonic()
    await child.stop(0.3)

    assert not is_alive(pid)
    assert (time.monotonic() - started < 0.3) == is_quick


async def test_ctrl_c_in_the_terminal_does_not_reach_the_child() -> None:
    """A child leads a session of its own."""
    child = Child(python("import time; time.sleep(100)"), print)
    await child.start()
    session = os.getsid(child.pid or 0)
    await child.stop(5)

    assert session != os.getsid(0)


async def test_a_program_that_does_not_exist_fails_with_its_name(capfd: pytest.CaptureFixture[str]) -> None:
    """What cannot be run says so and counts as a failure."""
    child = Child(Program("nothing", ("/does/not/exist",)), print)
    await child.start()

    with pytest.raises(ChildFailed, match="nothing exited with code 1"):
        await first_failure([child])
    await child.stop(1)

    assert "cannot run /does/not/exist: No such file or directory" in capfd.readouterr().err


async def test_a_restart_that_does_not_work_counts_as_a_death(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without processes or memory to be had the supervisor reports, backs off and gives up, like after any death."""
    said: list[str] = []
    child = Child(python("pass"), said.append, HASTY)
    await child.start()
    child.trust()
    monkeypatch.setattr("sys.executable", "/does/not/exist")

    with pytest.raises(
        ChildFailed, match=r"could not be started \(No such file or directory\) 3 times in a row"
    ) as failed:
        await first_failure([child])
    await child.stop(1)

    assert failed.value.exit_code == 1
    assert len(said) == 2
    assert "could not be started (No such file or directory); starting it again" in said[1]


PARENT = """
import asyncio, sys
from controller.standalone.processes import Child, Program
CHILD = "import os, pathlib, sys, time; path = pathlib.Path(sys.argv[1]);" \
    "draft = path.with_suffix('.draft'); draft.write_text(str(os.getpid())); draft.rename(path); time.sleep(100)"
async def main():
    await Child(Program("worker", (sys.executable, "-c", CHILD, sys.argv[1])), print).start()
    await asyncio.sleep(100)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's death is told by prctl(2)")
def test_children_die_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """Nothing stays behind when the supervisor itself is killed."""
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "pid")]) as parent:
        until((tmp_path / "pid").exists)
        pid = int((tmp_path / "pid").read_text())
        parent.kill()
    until(lambda: not is_alive(pid))


async def test_no_child_may_dump_its_memory(tmp_path: Path) -> None:
    """A crash of Envoy or the processor leaves no file with credentials behind."""
    told = tmp_path / "told"
    code = (
        "import pathlib, resource\n"
        f"pathlib.Path({str(told)!r}).write_text(str(resource.getrlimit(resource.RLIMIT_CORE)))"
    )
    child = Child(python(code), print, HASTY)
    await child.start()
    with pytest.raises(ChildFailed):
        await first_failure([child])
    await child.stop(1)

    assert told.read_text() == "(0, 0)"
