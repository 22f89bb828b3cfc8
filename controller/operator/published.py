"""What one pass of the operator came to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.api.findings import Finding, Subject
from controller.translate import Condition, Translation

#: What a ConfigMap may hold, and a Secret as much: the API server counts the decoded bytes of all values together.
BUDGET_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Published:
    """The state of the ConfigMaps after a pass.

    Attributes:
        revision: the revision that the processor's ConfigMap holds; 0 before anything was ever written.
        written: the names of the ConfigMaps and Secrets that this pass wrote.
        problem: why ``translation`` is not what the ConfigMaps hold; None when it is.
        translation: what the resources mean now.
        parts: the digest of each object's part that the ConfigMap holds. An object whose ``ObjectStatus.part`` differs
            is not programmed yet; that is so only when there is a problem.
        sizes: bytes in each ConfigMap, by name, of ``BUDGET_BYTES`` that fit.
        unheld: the objects whose credentials are not in the Secret that they belong into, each with the reason why.
        secret_sizes: bytes in each Secret, by name, of as many.
        gateways: what stands between an object that is in the ConfigMap and its being served by Envoy Gateway.
    """

    revision: int
    written: tuple[str, ...]
    problem: Finding | None
    translation: Translation
    parts: Mapping[Subject, str]
    sizes: Mapping[str, int] = field(default_factory=dict)
    unheld: Mapping[Subject, Finding] = field(default_factory=dict)
    secret_sizes: Mapping[str, int] = field(default_factory=dict)
    gateways: Mapping[Subject, Condition] = field(default_factory=dict)
