"""What manifests mean, with everything there is to say about them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.api import Finding, Severity
from controller.api.reasons import Reason
from controller.standalone.manifests import Manifests, Note
from controller.standalone.placeholders import filled_in
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


def compiled(
    manifests: Manifests,
    path_prefix: str = "",
    ca_certificates: str | None = None,
    *,
    envoy_secrets: str | None = None,
    environment: Mapping[str, str] = os.environ,
    elsewhere: bool = False,
) -> Compiled:
    """The same ``translate`` that the operator calls, on manifests. ``ca_certificates`` None: where Debian has them.

    ``envoy_secrets``: the directory of ``Translation.envoy_secrets``, None: where the chart has it.

    ``elsewhere``: it is not this machine that serves them, so that a variable or file that is missing here is only
    worth a warning.
    """
    settings = Settings(path_prefix=path_prefix)
    if ca_certificates is not None:
        settings = replace(settings, ca_certificates=ca_certificates)
    if envoy_secrets is not None:
        settings = replace(settings, envoy_secrets=envoy_secrets)
    filled = filled_in(manifests, environment)
    snapshot = Snapshot.of(filled.objects, settings)
    secrets = replace(snapshot.secrets, unread={**snapshot.secrets.unread, **filled.missing})
    translation = translate(replace(snapshot, secrets=secrets))
    notes = {*manifests.notes, *(manifests.note(_judged(each, elsewhere=elsewhere)) for each in translation.findings)}
    return Compiled(translation, tuple(sorted(notes, key=lambda note: (note.file, note.line, note.path, note.message))))


def _judged(finding: Finding, *, elsewhere: bool) -> Finding:
    if elsewhere and finding.reason is Reason.CREDENTIAL_UNREADABLE:
        return replace(finding, severity=Severity.WARNING)
    return finding
