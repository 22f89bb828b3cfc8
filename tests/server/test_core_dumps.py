"""What holds credentials leaves no core dump behind."""

from pathlib import Path

from tests.support.supervised import supervised

LIMIT = "Max core file size"


def test_no_process_of_the_processor_may_dump(tmp_path: Path) -> None:
    """The supervisor and its workers may not write their memory to a disk, and cannot allow it themselves again."""
    with supervised(tmp_path, "--workers", "2") as processor:
        processor.wait_ready()
        pids = [processor.process.pid, *processor.pids()]
        limits = [Path(f"/proc/{pid}/limits").read_text().splitlines() for pid in pids]

    assert len(pids) == 3
    for lines in limits:
        [line] = [line for line in lines if line.startswith(LIMIT)]
        assert line.removeprefix(LIMIT).split()[:2] == ["0", "0"]
