"""Which version of the configuration all extproc pods read, by what each has ever said. No I/O; the time comes in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from controller.operator.roster import Answer, Pod
from extproc.config.names import VERSION

#: How long a ready pod that has not answered yet is waited for before the others agree without it, seconds.
_PATIENCE_S: Final = 10.0


@dataclass(slots=True)
class _Reader:
    """A pod: since when it is known, whether it was ever ready, and the newest version that it said it reads."""

    since_s: float
    was_ready: bool = False
    accepts: int | None = None


class Agreement:
    """What a pod reads is settled by its image, so one answer holds until the pod is gone; silence is no answer.

    Pods that are or were ready decide, as they serve. Where there are none the others do, which cannot become ready
    with a configuration that they do not read: so an old pod that comes while newer ones serve takes nothing from them.
    """

    def __init__(self) -> None:
        self._readers: dict[Pod, _Reader] = {}
        #: The newest version that all pods read; None before any has said so.
        self.version: int | None = None

    def is_unknown(self, now_s: float) -> bool:
        """Whether there have been pods for a while, and none of them has said what it reads."""
        readers = self._readers.values()
        return all(reader.accepts is None for reader in readers) and any(_is_late(reader, now_s) for reader in readers)

    def heard(self, answers: Mapping[Pod, Answer], now_s: float) -> bool:
        """Take in a round of answers of all pods that there are. Says whether another version is agreed on now."""
        self._readers = {pod: self._readers.get(pod) or _Reader(now_s) for pod in answers}
        for pod, answer in answers.items():
            reader = self._readers[pod]
            reader.was_ready |= pod.is_ready
            reader.accepts = reader.accepts if answer.accepts is None else answer.accepts
        serving = [reader for reader in self._readers.values() if reader.was_ready]
        if any(reader.accepts is None and not _is_late(reader, now_s) for reader in serving):
            return False
        said = _said(serving) or _said(list(self._readers.values()))
        before = self.version
        if said:
            self.version = min(*said, VERSION)
        return self.version != before


def _is_late(reader: _Reader, now_s: float) -> bool:
    return now_s >= reader.since_s + _PATIENCE_S


def _said(readers: list[_Reader]) -> list[int]:
    return [reader.accepts for reader in readers if reader.accepts is not None]
