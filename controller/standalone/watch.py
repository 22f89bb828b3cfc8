"""The manifests of a running gateway: read once, and again whenever their text, or a file that they name, changes."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from watchfiles import awatch

from controller.standalone.faults import Unreadable
from controller.standalone.manifests import Manifests, files_of, is_read_once, read_content, read_manifests
from controller.standalone.placeholders import files_named, read_limited

_DEBOUNCE_MS = 50
#: Where the kernel says nothing (network and container mounts) a look every two seconds has to do.
_LOOK_MS = 2_000


class Sources:
    """Files, directories, pipes and standard input, as given on the command line."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        self._once: dict[str, bytes] = {}
        self._named: tuple[Path, ...] = ()
        self._seen: str | None = None

    def read(self) -> Manifests:
        """The manifests as they are now. Raises ``Unreadable``."""
        content = self._contents()
        manifests = read_manifests(list(content), content.__getitem__)
        self._named = files_named(manifests)
        self._seen = self._digest(content)
        return manifests

    def maybe_changed(self) -> Manifests | None:
        """The manifests if their text is not what it was. Raises ``Unreadable``, once for each trouble."""
        try:
            content = self._contents()
        except Unreadable as error:
            trouble = str(error)
            if trouble == self._seen:
                return None
            self._seen = trouble
            raise
        return None if self._digest(content) == self._seen else self.read()

    async def changes(self) -> AsyncIterator[Manifests | Unreadable]:
        """Each change, or why there are no manifests any more."""
        # Directories, not files: editors and ConfigMap volumes replace files, and a watch stays with the old one.
        lasting = [Path(path) for path in self.paths if not is_read_once(path)]
        watched = {path if path.is_dir() else path.parent for path in (*lasting, *self._named)}
        # Where there is nothing to watch yet, looking every two seconds has to do as well.
        watched = {path for path in watched if path.is_dir()}
        if not watched:
            return
        looks = awatch(
            *watched,
            watch_filter=None,
            recursive=False,
            debounce=_DEBOUNCE_MS,
            step=10,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
        )
        async for _ in looks:
            try:
                manifests = self.maybe_changed()
            except Unreadable as error:
                yield error
                continue
            if manifests is not None:
                yield manifests

    def _contents(self) -> dict[str, bytes]:
        return {file: self._content(file) for file in files_of(self.paths)}

    def _content(self, file: str) -> bytes:
        if file in self._once:
            return self._once[file]
        # Asked first: a pipe is gone when it has been read.
        once = is_read_once(file)
        content = read_content(file)
        if once:
            self._once[file] = content
        return content

    def _digest(self, content: dict[str, bytes]) -> str:
        digest = hashlib.sha256()
        for file, data in (*content.items(), *((str(path), _maybe_content(path)) for path in self._named)):
            digest.update(f"{file}:{len(data)}:".encode(errors="surrogateescape") + data)
        return digest.hexdigest()


def _maybe_content(path: Path) -> bytes:
    """What is in a file, or why that cannot be said."""
    try:
        return read_limited(path)
    except OSError as error:
        return str(error).encode(errors="surrogateescape")
