"""What manifests mean, with everything there is to say about them."""

from dataclasses import dataclass, replace

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

    def has(self, kind: str) -> bool:
        """Whether there is an object of this kind, right or wrong."""
        return any(status.subject.kind == kind for status in self.translation.statuses)

    @property
    def uses_tls(self) -> bool:
        """Whether Envoy is to check the certificate of any upstream."""
        return any("transport_socket" in cluster for cluster in self.translation.envoy.cds["resources"])


def compiled(manifests: Manifests, path_prefix: str = "", ca_certificates: str | None = None) -> Compiled:
    """The same ``translate`` that the operator calls, on manifests. ``ca_certificates`` None: where Debian has them."""
    settings = Settings(path_prefix=path_prefix)
    if ca_certificates is not None:
        settings = replace(settings, ca_certificates=ca_certificates)
    translation = translate(Snapshot.of(manifests.objects, settings))
    notes = {*manifests.notes, *map(manifests.note, translation.findings)}
    return Compiled(translation, tuple(sorted(notes, key=lambda note: (note.file, note.line, note.path, note.message))))
