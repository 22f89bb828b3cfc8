"""ConfigMaps as bytes by key, and back."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from controller.api.findings import Subject
from controller.operator.kinds import CONFIG_MAPS
from controller.translate import EnvoyConfig
from controller.translate.envoy.overlay import Part, parts_of
from extproc.config.document import read_document
from extproc.config.errors import ConfigError
from extproc.config.names import OLDEST_VERSION, VERSION
from extproc.config.schema import MAX_INTEGER

Object = Mapping[str, Any]
Values = Mapping[str, bytes]

PROCESSOR_KEY, RDS_KEY, CDS_KEY, ECDS_KEY = "config.yaml", "rds.yaml", "cds.yaml", "ecds.yaml"

#: On the ConfigMaps: the revision at their last write, so that a count survives an edit of the data.
REVISION_ANNOTATION = "llmroute.io/config-revision"
#: On the ConfigMaps: the digest of our values, by which the next leader tells them from what others made of them.
CONTENT_ANNOTATION = "llmroute.io/content-digest"
#: On the processor's ConfigMap: the marks of the objects' parts that are in force, for the next leader.
PARTS_ANNOTATION = "llmroute.io/parts"

#: A count that begins here can go on for ever; a higher one was not counted.
_HIGHEST = MAX_INTEGER // 2
_HIGHEST_DIGITS = len(str(_HIGHEST))
_MARK_BYTES = 6
#: All annotations of an object may have 256 KiB together. Longer marks are left out; a restart misses them.
_MARKS_CHARS = 200_000
_KEYS = (PROCESSOR_KEY, RDS_KEY, CDS_KEY, ECDS_KEY)

LABELS = {"app.kubernetes.io/managed-by": "llmroute-controller", "app.kubernetes.io/part-of": "llmroute"}


def config_map(
    name: str, namespace: str, values: Values, revision: int, resource_version: str | None, marks: str = ""
) -> dict[str, Any]:
    """The whole of a ConfigMap for server-side apply. Values that are not text go into ``binaryData``.

    ``marks``: as ``marks_of`` makes them.
    """
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
        "labels": LABELS,
        "annotations": {REVISION_ANNOTATION: str(revision), **_notes(values, marks)},
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


def is_current(obj: Object | None, values: Values, marks: str = "") -> bool:
    """Whether a ConfigMap is as ``config_map`` would make it, but for the revision that is noted on it."""
    noted = _annotations(obj)
    return holds(obj, values) and all(noted.get(key) == note for key, note in _notes(values, marks).items())


def is_ours(obj: Object | None) -> bool:
    """Whether what a ConfigMap has under our keys is what we wrote there."""
    return obj is not None and _annotations(obj).get(CONTENT_ANNOTATION) == _digest(values_of(obj))


def marks_of(parts: Mapping[Subject, str]) -> str:
    """The digests of objects' parts as text for an annotation, which ``recovered`` reads."""
    text = base64.b64encode(b"".join(sorted(_mark(subject, part) for subject, part in parts.items()))).decode()
    return text if len(text) <= _MARKS_CHARS else ""


def recovered(processor: Object | None, envoy: Object | None, parts: Mapping[Subject, str]) -> dict[Subject, str]:
    """Those of the parts that the two ConfigMaps hold, as far as they are as we wrote them."""
    if not is_ours(processor) or not is_ours(envoy):
        return {}
    try:
        marks = base64.b64decode(str(_annotations(processor).get(PARTS_ANNOTATION, "")), validate=True)
    except ValueError:
        return {}
    known = {marks[i : i + _MARK_BYTES] for i in range(0, len(marks), _MARK_BYTES)}
    return {subject: part for subject, part in parts.items() if _mark(subject, part) in known}


def size_of(values: Values) -> int:
    """The bytes that count for the API server's limit."""
    return sum(map(len, values.values()))


def maybe_revision(processor: Object | None) -> int | None:
    """The revision in the processor's configuration; None when there is none that can be read."""
    value = _maybe_configuration(processor)
    return None if value is None else _maybe_count(value.get("revision", 0))


def maybe_version(processor: Object | None) -> int | None:
    """The version of the processor's configuration, when it is one that can be written; None: there is no such."""
    version = (_maybe_configuration(processor) or {}).get("version")
    return version if isinstance(version, int) and OLDEST_VERSION <= version <= VERSION else None


def _maybe_configuration(processor: Object | None) -> dict[str, Any] | None:
    data = values_of(processor).get(PROCESSOR_KEY)
    if data is None:
        return None
    try:
        value = read_document(data).value
    except ConfigError:
        return None
    return value if isinstance(value, dict) else None


def noted_revision(obj: Object | None) -> int:
    """The revision that a ConfigMap was written with, by its annotation; 0 without."""
    noted = str(_annotations(obj).get(REVISION_ANNOTATION, ""))
    # Python refuses to read a number of some thousand digits.
    return _maybe_count(int(noted)) or 0 if noted.isdecimal() and len(noted) <= _HIGHEST_DIGITS else 0


def envoy_values(envoy: EnvoyConfig) -> dict[str, bytes]:
    """Envoy's three files."""
    return {
        RDS_KEY: msgspec.json.encode(envoy.rds),
        CDS_KEY: msgspec.json.encode(envoy.cds),
        ECDS_KEY: msgspec.json.encode(envoy.ecds),
    }


def envoy_parts(obj: Object | None) -> dict[Part, dict[str, Any]]:
    """The routes, clusters and providers in Envoy's ConfigMap; none when they are not as we wrote them."""
    if not is_ours(obj):
        return {}
    values = values_of(obj)
    try:
        return parts_of(*(msgspec.json.decode(values[key]) for key in (RDS_KEY, CDS_KEY, ECDS_KEY)))
    except (LookupError, TypeError, msgspec.DecodeError):
        return {}


def _maybe_count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _HIGHEST else None


def _annotations(obj: Object | None) -> Mapping[str, Any]:
    return (obj or {}).get("metadata", {}).get("annotations") or {}


def _notes(values: Values, marks: str) -> dict[str, str]:
    return {CONTENT_ANNOTATION: _digest(values), **({PARTS_ANNOTATION: marks} if marks else {})}


def _digest(values: Values) -> str:
    return _sha256(part for key in _KEYS for part in (key.encode(), values.get(key, b""))).hex()[:32]


def _mark(subject: Subject, part: str) -> bytes:
    return _sha256(text.encode() for text in (subject.kind, subject.namespace, subject.name, part))[:_MARK_BYTES]


def _sha256(fields: Iterable[bytes]) -> bytes:
    """Of several fields, none of which runs into the next."""
    whole = hashlib.sha256()
    for value in fields:
        whole.update(len(value).to_bytes(8))
        whole.update(value)
    return whole.digest()
