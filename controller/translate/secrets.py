"""Secrets: what is known of them, and the files that are made of that.

Values are bytes here and nowhere shown: neither type has a ``repr`` with them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

#: ``("Secret", namespace, name)``, or ``"ConfigMap"``.
Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True, repr=False)
class SecretStore:
    """The objects that were read, by their data, and why others could not be.

    An object that is in neither does not exist.

    Attributes:
        data: what each holds; a ConfigMap's ``data`` as UTF-8.
        unread: why nothing is known of one, as the end of a sentence (``the operator may not read it``).
        types: the Secrets' ``type``, of those that have one.
    """

    data: Mapping[Place, Mapping[str, bytes]] = field(default_factory=dict)
    unread: Mapping[Place, str] = field(default_factory=dict)
    types: Mapping[Place, str] = field(default_factory=dict)


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
