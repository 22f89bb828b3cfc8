"""The install steps of the Dockerfile, run in a clean directory: what each image gets, and how much of it.

No container engine runs here. An environment stands in for the base image's Python; the final stages only copy.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.conftest import Tell
from tests.support.dockerfile import DOCKERFILE, Instruction, read_dockerfile

_ROOT = DOCKERFILE.parent
_LIMIT_S = 280
_STRANGERS = ("controller", "kopf", "kubernetes", "click", "hatchling", "pip")


@dataclass(frozen=True, slots=True)
class Built:
    """The environment of one image."""

    target: str
    home: Path

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run its Python as the image would, from an empty directory."""
        empty = self.home.parent / "empty"
        empty.mkdir(exist_ok=True)
        environment = {"PATH": f"{self.home}/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"}
        return subprocess.run(
            [self.home / "bin/python", *arguments],
            env=environment,
            cwd=empty,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def packages(self) -> dict[str, str]:
        """Every distribution in it, with its version."""
        said = self.python(
            "-c",
            "import json; from importlib.metadata import distributions;"
            "print(json.dumps({d.metadata['Name'].lower().replace('_', '-'): d.version for d in distributions()}))",
        )
        assert said.returncode == 0, said.stderr
        found: dict[str, str] = json.loads(said.stdout)
        return found

    @property
    def megabytes(self) -> float:
        """What it takes on disk."""
        return sum(file.lstat().st_size for file in self.home.rglob("*") if not file.is_dir()) / 1e6


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The operator's image."""
    return _build("controller", tmp_path_factory.mktemp("controller"))


@pytest.fixture(scope="module")
def extproc(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The processor's image."""
    return _build("extproc", tmp_path_factory.mktemp("extproc"))


@pytest.fixture(params=["controller", "extproc"])
def built(request: pytest.FixtureRequest) -> Built:
    """Each of them."""
    image: Built = request.getfixturevalue(request.param)
    return image


def _build(target: str, root: Path) -> Built:
    """An image's environment, made by the Dockerfile's own commands."""
    base = root / "base"
    venv.create(base, with_pip=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PATH"] = f"{base}/bin:/usr/bin:/bin"
    for stage in read_dockerfile().lineage(f"build-{target}"):
        for step in stage.steps:
            _carry_out(step, root, environment)
    return Built(target, root / "opt/llmroute")


def _carry_out(step: Instruction, root: Path, environment: dict[str, str]) -> None:
    source = root / "src"
    match step.word:
        case "ENV":
            environment |= step.settings
        case "WORKDIR":
            assert step.text == "/src"
            source.mkdir()
        case "COPY":
            *names, place = step.text.split()
            _copy([_ROOT / name for name in names], source / place)
        case "RUN":
            command = step.text.replace("/opt/", f"{root}/opt/")
            done = subprocess.run(
                ["/bin/sh", "-ec", command],
                cwd=source,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=_LIMIT_S,
            )
            assert done.returncode == 0, f"{step.text}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        case _:
            raise AssertionError(f"{step.word} in a stage that installs")


def _copy(names: list[Path], place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name.is_dir():
            shutil.copytree(name, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy2(name, place)


def test_an_image_has_exactly_what_its_lock_says(built: Built, tell: Tell) -> None:
    """The lock file's packages, at its versions, and ours: no pip, no build tool, nothing that came along."""
    lock = (_ROOT / f"locks/{built.target}.txt").read_text().splitlines()
    locked = dict(line.split(";")[0].rstrip(" \\").split("==") for line in lock if "==" in line and line[0].isalpha())
    packages = built.packages()

    assert packages.pop("llmroute")
    assert {name: version for name, version in packages.items() if locked.get(name) != version} == {}
    assert {"pip", "setuptools", "wheel", "hatchling", "editables"} & packages.keys() == set()
    tell(image=built.target, packages=len(packages), megabytes=built.megabytes, names=" ".join(sorted(packages)))


def test_an_image_starts(built: Built) -> None:
    """Its entry point runs from the installed package alone."""
    said = built.python("-m", built.target, "--help")

    assert (said.returncode, said.stderr) == (0, "")
    assert "--config" in said.stdout or "operator" in said.stdout


def test_the_processors_image_has_all_of_the_processor(extproc: Built) -> None:
    """Every module of it can be loaded there."""
    said = extproc.python(
        "-c",
        "import pkgutil, extproc; [__import__(m.name) for m in pkgutil.walk_packages(extproc.__path__, 'extproc.')"
        " if not m.name.endswith('__main__')]",
    )

    assert (said.returncode, said.stderr) == (0, "")


def test_the_controllers_image_runs_what_the_chart_starts_in_it(controller: Built) -> None:
    """The operator, and the container that drains Envoy."""
    commands = (("-m", "controller", "operator", "--help"), ("-m", "controller.drain", "--help"))

    assert [controller.python(*command).returncode for command in commands] == [0, 0]
    assert controller.python("-c", "import controller.operator.run").stderr == ""


def test_the_processors_image_knows_no_kubernetes(extproc: Built) -> None:
    """Neither the controller nor its libraries can be loaded in the image that faces the vendors."""
    found = [name for name in _STRANGERS if extproc.python("-c", f"import {name}").returncode == 0]

    assert found == []
    assert not (extproc.home / "bin/llmroute").exists()


def test_nothing_is_left_to_compile(built: Built) -> None:
    """Each module has its bytecode, of the kind that is never checked against its source: times in layers differ."""
    missing = [
        str(module)
        for module in (built.home / "lib").rglob("*.py")
        if not (module.parent / "__pycache__" / f"{module.stem}.{sys.implementation.cache_tag}.pyc").exists()
    ]
    sample = next((built.home / "lib").rglob("site-packages/extproc/__pycache__/registry.*.pyc")).read_bytes()

    assert missing == []
    # PEP 552: the second word says hash-based, and unchecked.
    assert int.from_bytes(sample[4:8], "little") == 1
