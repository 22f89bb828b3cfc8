"""What a process used, read from /proc: CPU seconds and resident memory of it and its descendants."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of a group of processes since they started."""

    cpu_s: float

    def __sub__(self, earlier: "Cost") -> "Cost":
        return Cost(self.cpu_s - earlier.cpu_s)


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu(pids: list[int]) -> Cost:
    """User and system time of the processes, in seconds. ``schedstat`` has nanoseconds where the kernel keeps it."""
    total = 0.0
    for pid in pids:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
        if tasks:
            total += sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
        else:
            fields = _stat(pid)
            total += (int(fields[11]) + int(fields[12])) / _TICKS
    return Cost(total)


def rss_mb(pid: int) -> float:
    """Resident memory in MB."""
    return int(_stat(pid)[21]) * _PAGE / 1e6


def descendants(pid: int) -> list[int]:
    """The process and everything below it."""
    found = [pid]
    for parent in found:
        children = Path(f"/proc/{parent}/task/{parent}/children")
        if children.exists():
            found += [int(child) for child in children.read_text().split()]
    return found
