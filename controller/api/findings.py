"""What is wrong with an object, said so that its owner can mend it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.api.reasons import Reason


class Severity(StrEnum):
    """An error takes something out of service; a warning says that it may not do what was meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """The object a finding or a status is about."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about an object. ``path`` is the field as YAML names it, ``spec.rules[1].name``."""

    subject: Subject
    path: str
    message: str
    reason: Reason = Reason.INVALID
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidResource(Exception):
    """An object is not valid; ``findings`` has every reason, at least one."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(str(finding) for finding in findings))
        self.findings = tuple(findings)
