"""README's commands for a cluster do what they say, as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from e2e.chart.conftest import NewRelease
from e2e.support.release import CHART, Installed
from tests.support.waiting import until

_README = CHART.parents[1] / "README.md"
_HEADING = "On a cluster"
_LIMIT_S = 200
_FORWARD = re.compile(r"port-forward\s.*?(?:svc|service)/(\S+)\s+(\d+):(\S+)")


def commands() -> str:
    """The first block of shell commands under the heading; empty without one."""
    section = _README.read_text().partition(f"\n## {_HEADING}\n")[2].partition("\n## ")[0]
    found = re.search(r"^```(?:bash|sh)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


@pytest.fixture
def cluster(new_release: NewRelease) -> Iterator[Installed]:
    """With no release of ours on it; whatever the commands install is taken away, as it would serve other tests too."""
    with new_release() as made:
        try:
            yield made
        finally:
            listed = yaml.safe_load(made.helm("list", "--all-namespaces", "--output", "yaml"))
            for each in listed:
                replace(made.helm, namespace=each["namespace"])("uninstall", each["name"])
            made.kubectl.run("delete", "llmroutes,llmbackends", "--all", "--all-namespaces")
            until(lambda: not made.host.all_pods(), "pods stay", 60)


def test_the_commands_run(cluster: Installed, tmp_path: Path) -> None:
    """Each ends well. kubectl's port-forward needs a real kubelet: the same port is opened in another way."""
    if not (script := commands()):
        pytest.skip(f"README.md has no block of commands under '## {_HEADING}'")
    namespaces = re.findall(r"(?:--namespace[ =]|-n )(\S+)", script)
    for service, local, port in _FORWARD.findall(script):
        cluster.host.network.open(namespaces[0], service, int(port) if port.isdigit() else port, int(local))
    programs = tmp_path / "bin"
    programs.mkdir()
    kubectl = Path(sys.executable).with_name("kubectl")
    _program(programs / "kubectl", f'case " $* " in *" port-forward "*) exec sleep 600;; esac\nexec {kubectl} "$@"')
    flags = shlex.join(cluster.flags)
    changing = f'case "$1" in install|upgrade|rollback) exec {cluster.helm.program} "$@" {flags};; esac'
    _program(programs / "helm", f'{changing}\nexec {cluster.helm.program} "$@"')
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.kubectl.kubeconfig),
        **{f"HELM_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "CONFIG", "DATA")},
    }
    ended = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"
    done = subprocess.run(
        ["/bin/bash", "-euxo", "pipefail", "-c", ended + script],
        cwd=_README.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_LIMIT_S,
    )
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
