"""A private directory with everything the two processes read: config files, xDS files, the workers' sockets."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.standalone.faults import Fault

#: Linux: ``sun_path`` holds 108 bytes, the last of them NUL (unix(7)).
_SOCKET_PATH_BYTES = 107
#: The longest name of a socket below the directory: that of extproc's forkserver, whose temporary directory this is.
_LONGEST_SOCKET = "pymp-12345678/listener-12345678"


class Unusable(Fault):
    """No directory fits."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directory's layout. Files are replaced by renaming, so a reader sees the old content or the new."""

    root: Path

    @property
    def config(self) -> Path:
        """What extproc loads; it has a directory of its own because the directory is what is watched."""
        return self.root / "extproc" / "config.json"

    @property
    def bootstrap(self) -> Path:
        """Envoy's ``-c`` file."""
        return self.root / "bootstrap.json"

    @property
    def credentials(self) -> Path:
        """The processor's ``--credentials``."""
        return self.root / "credentials"

    @property
    def envoy_secrets(self) -> Path:
        """What Envoy finds by secret discovery."""
        return self.root / "secrets"

    def xds(self, kind: str) -> Path:
        """The file of one discovery service, ``lds``, ``rds``, ``cds`` or ``ecds``."""
        return self.root / "xds" / f"{kind}.json"

    @property
    def listen(self) -> str:
        """What extproc's ``--listen`` takes."""
        return f"unix://{self.root}/run/worker"

    def worker(self, index: int) -> str:
        """The address that worker ``index`` makes of it."""
        return f"{self.listen}.{index}"

    def write(self, path: Path, document: Mapping[str, Any]) -> bool:
        """Put a JSON document into place, all of it at once. Says whether anything changed."""
        content = json.dumps(document, indent=1, ensure_ascii=False).encode()
        return self.write_bytes(path, content)

    def write_bytes(self, path: Path, content: bytes) -> bool:
        """Put a file into place, all of it at once. Says whether anything changed."""
        if path.exists() and path.read_bytes() == content:
            return False
        # Not in the watched directory: its watchers would look up for a file that is not finished.
        draft = self.root / "draft"
        draft.touch(mode=0o600)
        draft.write_bytes(content)
        draft.replace(path)
        return True

    def hold(self, folder: Path, files: Mapping[str, bytes]) -> None:
        """Have these files in one of the folders for secrets and no others, each of them whole, for our eyes only."""
        for name, content in files.items():
            self.write_bytes(folder / name, content)
        for path in folder.iterdir():
            if path.name not in files:
                path.unlink()


@contextmanager
def temporary_workspace() -> Iterator[Workspace]:
    """A directory for our eyes only, gone at the end. Raises ``Unusable`` when every path is too long for sockets."""
    root = _directory()
    try:
        for name in ("extproc", "xds", "run", "credentials", "secrets"):
            (root / name).mkdir(mode=0o700)
        yield Workspace(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _directory() -> Path:
    tried = []
    usual = str(Path("/", "tmp"))
    for parent in dict.fromkeys((tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", usual), usual)):
        longest = Path(parent, "llmroute-12345678", _LONGEST_SOCKET)
        if len(os.fsencode(longest)) <= _SOCKET_PATH_BYTES and os.access(parent, os.W_OK | os.X_OK):
            return Path(tempfile.mkdtemp(prefix="llmroute-", dir=parent))
        tried.append(parent)
    raise Unusable(f"no writable directory with a short enough path for sockets among {', '.join(tried)}; set TMPDIR")
