"""Secrets and ConfigMaps as manifests have them."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from controller.api.findings import Finding, Subject
from controller.api.reading import subject_of
from controller.api.reasons import Reason
from controller.translate.secrets import Place, SecretStore

_UNUSABLE = "it is not valid"


def read_secrets(objects: Iterable[Mapping[str, Any]]) -> tuple[SecretStore, list[Finding]]:
    """What Secrets and ConfigMaps hold, and what is wrong with those that nothing can be known of."""
    data: dict[Place, Mapping[str, bytes]] = {}
    unread: dict[Place, str] = {}
    types: dict[Place, str] = {}
    findings: list[Finding] = []
    for obj in objects:
        subject = subject_of(obj)
        place = subject.kind, subject.namespace, subject.name
        values: dict[str, bytes] = {}
        if isinstance(type_ := obj.get("type"), str):
            types[place] = type_
        faults = [*_encoded(obj, subject, values), *_plain(obj, subject, values)]
        if faults:
            unread[place] = _UNUSABLE
            findings += faults
        else:
            data[place] = values
    return SecretStore(data, unread, types), findings


def _encoded(obj: Mapping[str, Any], subject: Subject, values: dict[str, bytes]) -> Iterable[Finding]:
    field = "binaryData" if subject.kind == "ConfigMap" else "data"
    for key, value in _members(obj, field):
        try:
            # As written by hand: with line breaks, which the API server does not mind either.
            values[key] = base64.b64decode(
                "".join(str(value).split()) if isinstance(value, str) else b"?", validate=True
            )
        except (binascii.Error, ValueError):
            yield _fault(subject, f"{field}.{key}", "must be base64")


def _plain(obj: Mapping[str, Any], subject: Subject, values: dict[str, bytes]) -> Iterable[Finding]:
    """Text as it is; in a Secret it goes before what is encoded."""
    field = "data" if subject.kind == "ConfigMap" else "stringData"
    for key, value in _members(obj, field):
        if isinstance(value, str):
            values[key] = value.encode()
        else:
            yield _fault(subject, f"{field}.{key}", "must be text; put it in quotes")


def _members(obj: Mapping[str, Any], field: str) -> Iterable[tuple[str, Any]]:
    members = obj.get(field)
    return members.items() if isinstance(members, Mapping) else ()


def _fault(subject: Subject, path: str, message: str) -> Finding:
    return Finding(subject, path, message, Reason.CREDENTIAL_MALFORMED)
