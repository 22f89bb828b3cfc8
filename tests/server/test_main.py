"""``python -m extproc`` as a command: what it prints and how it exits."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    command = [sys.executable, "-m", "extproc", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def test_check_of_a_good_file(tmp_path: Path) -> None:
    """One line that says what was found, exit 0."""
    path = tmp_path / "c.yaml"
    path.write_text("revision: 9\nrules: [{backends: [{name: a, outputSchema: {schema: OpenAI}}]}]\n")

    done = run("--config", str(path), "--check")

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: ok: revision 9, 1 rules\n", "")


def test_check_tells_every_finding_on_a_line(tmp_path: Path) -> None:
    """Each finding has the file's name and its path in the file; exit 1."""
    path = tmp_path / "c.yaml"
    path.write_text("rulez: []\nrules: [{backends: [{name: a, weight: -1, outputSchema: {schema: OpnAI}}]}]\n")

    done = run("--config", str(path), "--check")

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, "")
    assert len(lines) == 3
    assert all(line.startswith(f"{path}: ") for line in lines)
    for word in ("rulez", "rules[0].backends[0].weight", "rules[0].backends[0].outputSchema.schema"):
        assert word in done.stdout


def test_check_compiles_too(tmp_path: Path) -> None:
    """A bad regular expression, which only compiling finds, is a finding."""
    path = tmp_path / "c.yaml"
    path.write_text("rules: [{headers: [{name: x-a, value: '(', type: RegularExpression}], backends: []}]\n")

    done = run("--config", str(path), "--check")

    assert done.returncode == 1
    assert "rules[0].headers[0].value" in done.stdout


def test_check_of_a_missing_file(tmp_path: Path) -> None:
    """It is a finding, not a traceback."""
    done = run("--config", str(tmp_path / "none"), "--check")

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == f"{tmp_path}/none: cannot read: No such file or directory\n"


@pytest.mark.parametrize(("flags", "code"), [(["--help"], 0), ([], 2), (["--config", "c", "--workers", "x"], 2)])
def test_usage(flags: list[str], code: int) -> None:
    """Help succeeds, wrong use fails with 2, both without a traceback."""
    done = run(*flags)

    assert done.returncode == code
    assert "usage: python -m extproc" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
