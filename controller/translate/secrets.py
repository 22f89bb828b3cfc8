"""Secrets: what is known of them, what the resources may use of them, and the files that are made of that.

Values are bytes here and nowhere shown: neither type has a ``repr`` with them, and a finding names a Secret and a key.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from controller.api.findings import Finding, Subject
from controller.api.reasons import Reason
from controller.api.secrets import SecretRef
from controller.translate.grants import Grant, permits
from extproc.config.errors import nearest, quoted

#: ``("Secret", namespace, name)``, or ``"ConfigMap"``.
Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True, repr=False)
class SecretStore:
    """The objects that were read, by their data, and why others could not be.

    An object that is in neither does not exist.

    Attributes:
        data: what each holds; a ConfigMap's ``data`` as UTF-8.
        unread: why nothing is known of one, as the end of a sentence (``the operator may not read it``).
    """

    data: Mapping[Place, Mapping[str, bytes]] = field(default_factory=dict)
    unread: Mapping[Place, str] = field(default_factory=dict)


class SecretFiles(Mapping[str, bytes]):
    """Files by name. Immutable."""

    __slots__ = ("_files",)

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self._files = dict(sorted((files or {}).items()))

    def __getitem__(self, name: str) -> bytes:
        return self._files[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __repr__(self) -> str:
        return f"SecretFiles({list(self._files)})"


@dataclass(frozen=True, slots=True)
class Asking:
    """Who refers to a Secret, and where it says so (``spec.auth.apiKey.secretRef``)."""

    subject: Subject
    path: str


def secret_data(
    asking: Asking, ref: SecretRef, store: SecretStore, grants: frozenset[Grant], kind: str = "Secret"
) -> Mapping[str, bytes] | Finding:
    """All that the object holds, when it may be used; else what is wrong."""
    own, namespace = asking.subject.namespace, ref.namespace or asking.subject.namespace
    if namespace != own and not permits(grants, Grant(own, namespace, "", kind, ref.name, asking.subject.kind)):
        message = (
            f"{kind} {quoted(ref.name)} is in namespace {quoted(namespace)}, and no ReferenceGrant there lets "
            f"{asking.subject.kind}s of {quoted(own)} refer to it"
        )
        return Finding(asking.subject, f"{asking.path}.namespace", message, Reason.REF_NOT_PERMITTED)
    place = kind, namespace, ref.name
    if (why := store.unread.get(place)) is not None:
        message = f"{kind} {quoted(ref.name)} in namespace {quoted(namespace)} is not known: {why}"
        return Finding(asking.subject, f"{asking.path}.name", message, Reason.CREDENTIAL_UNREADABLE)
    if (data := store.data.get(place)) is None:
        message = f"{kind} {quoted(ref.name)} not found in namespace {quoted(namespace)}"
        return Finding(asking.subject, f"{asking.path}.name", message, Reason.CREDENTIAL_NOT_FOUND)
    return data


def secret_value(
    asking: Asking,
    ref: SecretRef,
    usual_key: str,
    store: SecretStore,
    grants: frozenset[Grant],
    kind: str = "Secret",
) -> bytes | Finding:
    """One key's value, when it may be used and is not empty; else what is wrong."""
    data = secret_data(asking, ref, store, grants, kind)
    if isinstance(data, Finding):
        return data
    key = ref.key or usual_key
    where = f"{kind} {quoted(ref.name)} in namespace {quoted(ref.namespace or asking.subject.namespace)}"
    if key not in data:
        guess = nearest(key, list(data))
        hint = f"; did you mean {quoted(guess)}?" if guess else f"; it has {', '.join(sorted(data)[:5]) or 'none'}"
        message = f"{where} has no key {quoted(key)}{hint}"
        return Finding(asking.subject, f"{asking.path}.key", message, Reason.CREDENTIAL_KEY_NOT_FOUND)
    if not data[key].strip():
        message = f"the key {quoted(key)} of {where} is empty"
        return Finding(asking.subject, f"{asking.path}.key", message, Reason.CREDENTIAL_KEY_NOT_FOUND)
    return data[key]
