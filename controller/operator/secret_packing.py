"""Files as a Secret, and back. What is kept of one has no ``repr`` with a value in it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.operator.kinds import SECRETS
from controller.operator.named_objects import data_of
from controller.operator.packing import LABELS, REVISION_ANNOTATION
from controller.translate.secrets import SecretFiles

Object = Mapping[str, Any]

#: Who we are to server-side apply, which keeps book of whose a key is.
_MANAGER: Final = "llmroute-controller"


@dataclass(frozen=True, slots=True)
class HeldSecret:
    """A Secret as the API server has it.

    Attributes:
        files: all its values, by key.
        ours: the keys that server-side apply knows as ours. Others are somebody else's, and stay.
    """

    version: int
    files: SecretFiles
    ours: frozenset[str]


def maybe_held(obj: Object | None) -> HeldSecret | None:
    """What there is to know of a Secret; None for none."""
    if obj is None:
        return None
    data = data_of(obj)
    return HeldSecret(int(obj["metadata"]["resourceVersion"]), SecretFiles(data), _ours(obj) & data.keys())


def secret(name: str, namespace: str, files: SecretFiles, revision: int, held: HeldSecret | None) -> dict[str, Any]:
    """The whole of a Secret for server-side apply, which takes our other keys away.

    The annotation has the revision of the configuration that these files were written for. Nothing in the metadata
    comes from a value: a digest of a short one would tell it.
    """
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "labels": LABELS,
        "annotations": {REVISION_ANNOTATION: str(revision)},
    }
    if held is not None:
        metadata["resourceVersion"] = str(held.version)
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.name,
        "metadata": metadata,
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in files.items()},
    }


def _ours(obj: Object) -> frozenset[str]:
    """https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management (read 2026-11-23)."""
    entries = obj["metadata"].get("managedFields") or ()
    fields = [
        entry.get("fieldsV1") or {}
        for entry in entries
        if (entry.get("manager"), entry.get("operation")) == (_MANAGER, "Apply")
    ]
    return frozenset(key.removeprefix("f:") for each in fields for key in each.get("f:data") or () if key != ".")
