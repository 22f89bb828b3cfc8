"""A directory that changes as a mounted ConfigMap does: the order of kubelet's atomic writer, link by link.

https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/util/atomic_writer.go (2026-11)
"""

import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path


class ConfigMapVolume:
    """``mount`` is what a container would see; it is made when it does not exist."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        mount.mkdir(parents=True, exist_ok=True)

    def swap(self, files: Mapping[str, bytes]) -> None:
        """Make ``files`` the content: all of it at one moment, as seen through ``..data``.

        Content that is as it was leaves everything alone, as kubelet does.
        """
        data = self.mount / "..data"
        old = data.resolve() if data.is_symlink() else None
        if old is not None and {p.name: p.read_bytes() for p in old.iterdir()} == dict(files):
            return
        stamp = time.strftime("..%Y_%m_%d_%H_%M_%S.", time.gmtime())
        new = Path(tempfile.mkdtemp(prefix=stamp, dir=self.mount))
        new.chmod(0o755)
        for name, content in files.items():
            (new / name).write_bytes(content)
        temporary = self.mount / "..data_tmp"
        temporary.symlink_to(new.name)
        temporary.rename(data)
        for name in files:
            if not (self.mount / name).is_symlink():
                (self.mount / name).symlink_to(Path("..data") / name)
        for link in self.mount.iterdir():
            if not link.name.startswith("..") and link.name not in files:
                link.unlink()
        if old is not None:
            shutil.rmtree(old)
