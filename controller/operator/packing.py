"""ConfigMaps as bytes by key, and back."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from controller.operator.kinds import CONFIG_MAPS
from controller.translate import EnvoyConfig
from controller.translate.envoy.overlay import Part, parts_of
from extproc.config.document import read_document
from extproc.config.errors import ConfigError
from extproc.config.schema import MAX_INTEGER

Object = Mapping[str, Any]
Values = Mapping[str, bytes]

PROCESSOR_KEY, RDS_KEY, CDS_KEY = "config.yaml", "rds.yaml", "cds.yaml"

#: On the ConfigMaps: the revision at their last write, so that a count survives an edit of the data.
REVISION_ANNOTATION = "llmroute.io/config-revision"

#: A count that begins here can go on for ever; a higher one was not counted.
_HIGHEST = MAX_INTEGER // 2

_LABELS = {"app.kubernetes.io/managed-by": "llmroute-controller", "app.kubernetes.io/part-of": "llmroute"}


def config_map(
    name: str, namespace: str, values: Values, revision: int, resource_version: str | None
) -> dict[str, Any]:
    """The whole of a ConfigMap for server-side apply. Values that are not text go into ``binaryData``."""
    data: dict[str, str] = {}
    binary: dict[str, str] = {}
    for key, value in values.items():
        try:
            data[key] = value.decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(value).decode()
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "labels": _LABELS,
        "annotations": {REVISION_ANNOTATION: str(revision)},
    }
    if resource_version is not None:
        metadata["resourceVersion"] = resource_version
    return {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.name,
        "metadata": metadata,
        "data": data,
        "binaryData": binary,
    }


def values_of(obj: Object | None) -> dict[str, bytes]:
    """All values of a ConfigMap, decoded."""
    if obj is None:
        return {}
    values = {str(key): str(value).encode() for key, value in (obj.get("data") or {}).items()}
    for key, value in (obj.get("binaryData") or {}).items():
        try:
            values[str(key)] = base64.b64decode(value, validate=True)
        except binascii.Error:
            continue
    return values


def holds(obj: Object | None, values: Values) -> bool:
    """Whether a ConfigMap has these values. Keys that somebody else has added are theirs."""
    held = values_of(obj)
    return all(held.get(key) == value for key, value in values.items())


def size_of(values: Values) -> int:
    """The bytes that count for the API server's limit."""
    return sum(map(len, values.values()))


def maybe_revision(processor: Object | None) -> int | None:
    """The revision in the processor's configuration; None when there is none that can be read."""
    data = values_of(processor).get(PROCESSOR_KEY)
    if data is None:
        return None
    try:
        value = read_document(data).value
    except ConfigError:
        return None
    return _maybe_count(value.get("revision", 0)) if isinstance(value, dict) else None


def noted_revision(obj: Object | None) -> int:
    """The revision that a ConfigMap was written with, by its annotation; 0 without."""
    noted = ((obj or {}).get("metadata", {}).get("annotations") or {}).get(REVISION_ANNOTATION, "")
    return _maybe_count(int(noted)) or 0 if str(noted).isdecimal() else 0


def envoy_values(envoy: EnvoyConfig) -> dict[str, bytes]:
    """Envoy's two files."""
    return {RDS_KEY: msgspec.json.encode(envoy.rds), CDS_KEY: msgspec.json.encode(envoy.cds)}


def envoy_parts(obj: Object | None) -> dict[Part, dict[str, Any]]:
    """The routes and clusters in Envoy's ConfigMap; none when they are not of our making."""
    values = values_of(obj)
    try:
        return parts_of(msgspec.json.decode(values[RDS_KEY]), msgspec.json.decode(values[CDS_KEY]))
    except (LookupError, TypeError, msgspec.DecodeError):
        return {}


def _maybe_count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _HIGHEST else None
