"""References to Secrets and ConfigMaps, followed: what may be used of them, and what is to be said of the rest.

A finding names a Secret and a key of it that somebody asked for; nothing else of what the Secret holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from controller.api.findings import Finding, Subject
from controller.api.reasons import Reason
from controller.api.secrets import SecretRef
from controller.translate.grants import Grant, permits
from controller.translate.secrets import Place
from controller.translate.settings import Settings
from controller.translate.snapshot import Snapshot
from extproc.config.errors import nearest, quoted

#: Types of Secrets that are made by and for a controller of their own: who may write backends must not thereby become
#: a ServiceAccount, or see what a release was installed with
#: (https://kubernetes.io/docs/concepts/configuration/secret/#secret-types, read 2026-11-23).
_OTHERS: Final = ("kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token")
_RELEASES: Final = "helm.sh/release"
#: Keys of a Secret above which nobody guesses which one was meant; a megabyte holds a hundred thousand.
_GUESSED_AMONG: Final = 100


@dataclass(frozen=True, slots=True)
class Asking:
    """Who refers to a Secret, and where it says so (``spec.auth.apiKey.secretRef``)."""

    subject: Subject
    path: str


def is_ours(place: Place, settings: Settings) -> bool:
    """Whether a Secret is one that we write, with everybody's credentials in it."""
    kind, namespace, name = place
    return kind == "Secret" and (namespace, name) in settings.own_secrets


def secret_data(
    asking: Asking, ref: SecretRef, snapshot: Snapshot, kind: str = "Secret"
) -> Mapping[str, bytes] | Finding:
    """All that the object holds, when it may be used; else what is wrong."""
    own, namespace = asking.subject.namespace, ref.namespace or asking.subject.namespace
    place = kind, namespace, ref.name
    if (finding := _maybe_forbidden(asking, place, snapshot, own)) is not None:
        return finding
    store = snapshot.secrets
    if (why := store.unread.get(place)) is not None:
        message = f"{kind} {quoted(ref.name)} in namespace {quoted(namespace)} is not known: {why}"
        return Finding(asking.subject, f"{asking.path}.name", message, Reason.CREDENTIAL_UNREADABLE)
    if (data := store.data.get(place)) is None:
        message = f"{kind} {quoted(ref.name)} not found in namespace {quoted(namespace)}"
        return Finding(asking.subject, f"{asking.path}.name", message, Reason.CREDENTIAL_NOT_FOUND)
    return data


def secret_value(
    asking: Asking, ref: SecretRef, usual_key: str, snapshot: Snapshot, kind: str = "Secret"
) -> bytes | Finding:
    """One key's value, when it may be used and is not empty; else what is wrong."""
    data = secret_data(asking, ref, snapshot, kind)
    if isinstance(data, Finding):
        return data
    key = ref.key or usual_key
    where = f"{kind} {quoted(ref.name)} in namespace {quoted(ref.namespace or asking.subject.namespace)}"
    if key not in data:
        guess = nearest(key, list(data)) if len(data) <= _GUESSED_AMONG else None
        hint = "" if guess is None else f"; did you mean {quoted(guess)}?"
        message = f"{where} has no key {quoted(key)}{hint}"
        return Finding(asking.subject, f"{asking.path}.key", message, Reason.CREDENTIAL_KEY_NOT_FOUND)
    if not data[key].strip():
        message = f"the key {quoted(key)} of {where} is empty"
        return Finding(asking.subject, f"{asking.path}.key", message, Reason.CREDENTIAL_KEY_NOT_FOUND)
    return data[key]


def _maybe_forbidden(asking: Asking, place: Place, snapshot: Snapshot, own: str) -> Finding | None:
    kind, namespace, name = place
    if is_ours(place, snapshot.settings):
        message = f"Secret {quoted(name)} in namespace {quoted(namespace)} is the operator's own, for everybody"
        return Finding(asking.subject, f"{asking.path}.name", message, Reason.REF_NOT_PERMITTED)
    wanted = Grant(own, namespace, "", kind, name, asking.subject.kind)
    if namespace != own and not permits(snapshot.grants, wanted):
        message = (
            f"{kind} {quoted(name)} is in namespace {quoted(namespace)}, and no ReferenceGrant there lets "
            f"{asking.subject.kind}s of {quoted(own)} refer to it{snapshot.blindness('ReferenceGrant', namespace)}"
        )
        return Finding(asking.subject, f"{asking.path}.namespace", message, Reason.REF_NOT_PERMITTED)
    type_ = snapshot.secrets.types.get(place, "")
    if type_ in _OTHERS or type_.startswith(_RELEASES):
        message = (
            f"Secret {quoted(name)} in namespace {quoted(namespace)} is of type {quoted(type_)}, which is no credential"
        )
        return Finding(asking.subject, f"{asking.path}.name", f"{message} for a model", Reason.REF_NOT_PERMITTED)
    return None
