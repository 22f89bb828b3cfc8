"""A streamed answer: bytes in, neutral events out. See ``answer`` and ``frames``."""

from collections.abc import Sequence

from extproc.conversation.events import Event
from extproc.dialects.gemini.answer import AnswerReader
from extproc.dialects.gemini.frames import Frames


class GeminiStreamReader:
    """See ``extproc.dialects.contract.StreamReader``."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._answer = AnswerReader()

    def feed(self, chunk: bytes) -> Sequence[Event]:
        """The events completed by this chunk; none after ``Ended`` or ``Fault``."""
        return () if self._answer.over else self._read(self._frames.feed(chunk))

    def finish(self) -> Sequence[Event]:
        """The end of the bytes, which is the only end that Gemini's streams have."""
        return () if self._answer.over else (*self._read(self._frames.finish()), *self._answer.finish())

    def _read(self, pieces: list[bytes]) -> Sequence[Event]:
        events = [event for piece in pieces for event in self._answer.read(piece)]
        if self._frames.error is not None and not self._answer.over:
            events += self._answer.fail(f"the stream from Gemini is damaged: {self._frames.error}")
        return events
