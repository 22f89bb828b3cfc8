"""What manifests mean, with everything there is to say about them."""

from dataclasses import dataclass

from controller.api import Severity
from controller.standalone.manifests import Manifests, Note
from controller.translate import Settings, Snapshot, Translation, translate


@dataclass(frozen=True, slots=True)
class Compiled:
    """A translation. ``notes`` are in the order of files and lines."""

    translation: Translation
    notes: tuple[Note, ...]

    @property
    def errors(self) -> int:
        """How many of the notes are errors."""
        return sum(note.severity is Severity.ERROR for note in self.notes)


def compiled(manifests: Manifests, path_prefix: str = "") -> Compiled:
    """The same ``translate`` that the operator calls, on manifests."""
    translation = translate(Snapshot.of(manifests.objects, Settings(path_prefix=path_prefix)))
    notes = {*manifests.notes, *map(manifests.note, translation.findings)}
    return Compiled(translation, tuple(sorted(notes, key=lambda note: (note.file, note.line, note.path, note.message))))
