"""Files as a Secret, and back. What is kept of one has no ``repr`` with a value in it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.operator.kinds import SECRETS
from controller.operator.named_objects import data_of
from controller.operator.packing import LABELS, REVISION_ANNOTATION
from controller.translate.secrets import SecretFiles

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HeldSecret:
    """A Secret as the API server has it.

    Attributes:
        files: all its values, by key. Whoever put one there: all of it is ours to say.
    """

    version: int
    files: SecretFiles


def maybe_held(obj: Object | None) -> HeldSecret | None:
    """What there is to know of a Secret; None for none."""
    if obj is None:
        return None
    return HeldSecret(int(obj["metadata"]["resourceVersion"]), SecretFiles(data_of(obj)))


def secret(name: str, namespace: str, files: SecretFiles, revision: int, held: HeldSecret | None) -> dict[str, Any]:
    """The whole of a Secret for server-side apply, which takes away what it knows as ours and is not in it.

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


def size_of(files: Mapping[str, bytes]) -> int:
    """Bytes in a Secret: its values, and each name twice, as it is also in what the server notes about its writers."""
    return sum(len(value) + 2 * len(name) for name, value in files.items())
