"""Values of Secrets that stand elsewhere: ``${NAME}`` in the environment, ``${file:PATH}`` in a file.

In ``stringData`` and as the whole of a value; a password in which such signs occur goes into ``data``.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.api.reading import subject_of
from controller.standalone.manifests import STDIN, Manifest, Manifests
from controller.translate.secrets import Place
from extproc.config.errors import quoted

_PLACEHOLDER = re.compile(r"\$\{(?:file:(?P<file>[^}]+)|(?P<variable>[A-Za-z_][A-Za-z0-9_]*)|(?P<odd>[^}]*))\}")
#: What Kubernetes lets a Secret hold.
_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FilledIn:
    """Objects with the values in their places.

    Attributes:
        objects: all but the Secrets of which a value is not there.
        missing: why, for each of those, as the end of a sentence.
    """

    objects: tuple[Mapping[str, Any], ...] = field(repr=False)
    missing: Mapping[Place, str]


class _NotThere(Exception):
    """A value cannot be had; the text says why."""


def filled_in(manifests: Manifests, environment: Mapping[str, str]) -> FilledIn:
    """The objects, with what stands in the environment and in files in place of the placeholders."""
    objects: list[Mapping[str, Any]] = []
    missing: dict[Place, str] = {}
    for manifest in manifests.manifests:
        found: dict[str, str] = {}
        faults: list[str] = []
        for key, placeholder in _placeholders(manifest):
            try:
                found[key] = base64.b64encode(_value(manifest, placeholder, environment)).decode()
            except _NotThere as reason:
                faults.append(str(reason))
        if faults:
            subject = subject_of(manifest.value)
            missing["Secret", subject.namespace, subject.name] = "; ".join(dict.fromkeys(faults))
        else:
            objects.append(_with(manifest.value, found) if found else manifest.value)
    return FilledIn(tuple(objects), missing)


def files_named(manifests: Manifests) -> tuple[Path, ...]:
    """The files that placeholders name, each once, there or not."""
    found = (
        _path(manifest, placeholder["file"])
        for manifest in manifests.manifests
        for _, placeholder in _placeholders(manifest)
        if placeholder["file"]
    )
    return tuple(dict.fromkeys(found))


def read_limited(path: Path) -> bytes:
    """A file's content. Raises ``OSError``, also for one that is larger than any Secret."""
    with path.open("rb") as stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise OSError(f"it is larger than {_MAX_BYTES >> 20} MiB")
    return content


def _placeholders(manifest: Manifest) -> Iterator[tuple[str, re.Match[str]]]:
    value = manifest.value
    data = value.get("stringData")
    if value.get("kind") != "Secret" or not isinstance(data, Mapping):
        return
    for key, text in data.items():
        if isinstance(text, str) and (found := _PLACEHOLDER.fullmatch(text.strip())):
            yield key, found


def _value(manifest: Manifest, placeholder: re.Match[str], environment: Mapping[str, str]) -> bytes:
    if variable := placeholder["variable"]:
        if not (text := environment.get(variable)):
            raise _NotThere(f"the environment variable {variable} is not set")
        return text.encode(errors="surrogateescape")
    if file := placeholder["file"]:
        path = _path(manifest, file)
        try:
            return read_limited(path)
        except OSError as error:
            raise _NotThere(f"the file {quoted(file)} cannot be read ({error.strerror or error})") from None
    raise _NotThere("a value between ${ and } must be the name of a variable, or file: and a path")


def _path(manifest: Manifest, file: str) -> Path:
    """Beside the manifest, unless it is absolute."""
    return Path() / file if manifest.file == STDIN else Path(manifest.file).parent / file


def _with(value: Mapping[str, Any], found: Mapping[str, str]) -> Mapping[str, Any]:
    data = value.get("data")
    plain = {key: text for key, text in value["stringData"].items() if key not in found}
    return {**value, "data": {**(data if isinstance(data, Mapping) else {}), **found}, "stringData": plain}
