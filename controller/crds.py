"""Writes ``crds/*.yaml`` from the models in ``controller.api``: ``python -m controller.crds [--check] OUTDIR...``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from controller.api.crds import definitions

_HEADER = "# Generated from controller/api by `make crds`; edits here are lost.\n"


def files() -> dict[str, str]:
    """File name -> text. Equal models give equal bytes."""
    return {
        name: _HEADER + yaml.safe_dump(crd, sort_keys=False, width=120, allow_unicode=True)
        for name, crd in definitions().items()
    }


def stale(folder: Path) -> list[str]:
    """The names of files that are missing, differ, or are not ours any more."""
    wanted = files()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or with ``--check`` say which are stale. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m controller.crds", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is not up to date")
    parser.add_argument("folders", metavar="OUTDIR", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    if options.check:
        changed = [folder / name for folder in options.folders for name in stale(folder)]
        for path in changed:
            sys.stderr.write(f"{path} is not up to date; run `make crds`\n")
        return 1 if changed else 0
    for folder in options.folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files().items():
            (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
