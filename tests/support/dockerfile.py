"""The Dockerfile, taken apart: https://docs.docker.com/reference/dockerfile/ (read 2026-11-23)."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"

_FROM = re.compile(r"(?P<base>\S+)(?:\s+[Aa][Ss]\s+(?P<name>\S+))?")
_SETTING = re.compile(r"""(?P<name>[\w.]+)=(?:"(?P<quoted>[^"]*)"|(?P<plain>\S*))""")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One, with its lines joined. ``word`` is in capitals."""

    word: str
    text: str

    @property
    def exec_form(self) -> list[str] | None:
        """The arguments when they are a JSON list; None in the shell's form."""
        return json.loads(self.text) if self.text.startswith("[") else None

    @property
    def settings(self) -> dict[str, str]:
        """Names and values of ENV, LABEL or ARG."""
        found = _SETTING.finditer(self.text)
        return {one["name"]: one["quoted"] if one["quoted"] is not None else one["plain"] for one in found}


@dataclass(frozen=True, slots=True)
class Stage:
    """A FROM and what follows it."""

    name: str
    base: str
    steps: Sequence[Instruction]

    def each(self, word: str) -> list[Instruction]:
        """Its instructions of one kind."""
        return [step for step in self.steps if step.word == word]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """``arguments`` stand before the first stage."""

    arguments: Sequence[Instruction]
    stages: Sequence[Stage]

    def stage(self, name: str) -> Stage:
        """The stage of this name."""
        [found] = [stage for stage in self.stages if stage.name == name]
        return found

    def lineage(self, name: str) -> list[Stage]:
        """A stage and those that it builds upon, the first one first."""
        stage = self.stage(name)
        names = {other.name for other in self.stages}
        return [*self.lineage(stage.base), stage] if stage.base in names else [stage]


def read_dockerfile(path: Path = DOCKERFILE) -> Dockerfile:
    """Raises ``ValueError`` for what is no Dockerfile."""
    arguments: list[Instruction] = []
    stages: list[tuple[str, str, list[Instruction]]] = []
    for instruction in _instructions(path.read_text()):
        if instruction.word == "FROM":
            found = _FROM.fullmatch(instruction.text)
            if found is None:
                raise ValueError(f"FROM {instruction.text}")
            stages.append((found["name"] or "", found["base"], []))
        elif stages:
            stages[-1][2].append(instruction)
        else:
            arguments.append(instruction)
    return Dockerfile(arguments, [Stage(*stage) for stage in stages])


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    whole = ""
    for line in lines:
        whole += line.removesuffix("\\")
        if not line.endswith("\\"):
            word, _, rest = whole.partition(" ")
            yield Instruction(word.upper(), rest.strip())
            whole = ""
    if whole:
        raise ValueError("the last line goes on")
