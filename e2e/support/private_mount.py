"""A program that sees a folder of a test's where a container has a volume, in a mount namespace of its own.

``unshare`` makes one for anybody, root or not, where user namespaces are allowed. Everything else, the network too, is
the machine's own.
"""

import shutil
import subprocess
from pathlib import Path

from e2e.support.pod_node import quoted

_SHELL = "/bin/sh"
_UNSHARE = ("--user", "--map-root-user", "--mount", "--propagation", "private")
#: ``/etc`` cannot be added to, but covered by one that has all that it has.
_COVER = """
mkdir "$1"
mount --rbind /etc "$1"
mount -t tmpfs -o mode=755 etc /etc
for each in "$1"/* "$1"/.[!.]*; do [ ! -e "$each" ] || ln -s "$each" /etc/; done
shift
"""


def etc_mount(folder: Path, place: Path, scratch: Path) -> list[str]:
    """The words before a command that make it see ``folder`` at ``place``, read-only.

    ``place`` is below ``/etc``, where this machine has nothing; ``scratch``, a path that does not exist yet, is taken.
    """
    # Else what is made there would be made on the machine, by way of a link.
    is_free = f"[ ! -e {quoted([_first(place)])} ]"
    mounts = [
        f"mkdir -p {quoted([place])}",
        f"mount --bind {quoted([folder, place])}",
        f"mount -o remount,bind,ro {quoted([place])}",
    ]
    script = "\n".join([is_free, _COVER, *mounts, 'exec "$@"'])
    return [shutil.which("unshare") or "unshare", *_UNSHARE, _SHELL, "-ec", script, "sh", str(scratch)]


def why_no_mount(scratch: Path, place: Path) -> str:
    """What stands in the way of that on this machine; empty when nothing does."""
    if _first(place).exists():
        return f"{_first(place)} of this machine is in the way"
    scratch.mkdir()
    command = [*etc_mount(scratch, place, scratch / "etc"), "ls", "/etc/hosts", str(place / "etc")]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except OSError as error:
        return f"cannot run unshare: {error}"
    return f"no user or mount namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


def _first(place: Path) -> Path:
    """What of it is in ``/etc`` itself."""
    return Path(*place.parts[:3])
