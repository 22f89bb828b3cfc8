"""Every scenario in every cell of the matrix, through a whole exchange: exact bytes, at every split."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from extproc.config.names import CLIENT_DIALECTS, PLATFORMS
from tests.support.every_case import every_case
from tests.support.matrix import CELLS, CLIENTS, OUTPUTS, ROOT, SCHEMAS, Cell, Scenario, answer_of, cases, scenarios
from tests.support.matrix_run import files_of, played, run

CASES = cases()

each_cell = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)


@each_cell
def test_scenario(cell: Cell, *, update_golden: bool) -> None:
    """The upstream gets, and the client gets, what the files say, byte for byte; there are no other files."""
    with every_case() as case:
        for scenario in (each for at, each in CASES if at == cell):
            with case(scenario.name):
                produced = files_of(scenario, run(cell, scenario))
                folder = cell.folder(scenario)
                if update_golden:
                    write(folder, produced)
                stored = {path.name: path.read_bytes() for path in folder.iterdir()}
                assert produced == stored
                assert stored.keys() <= set(OUTPUTS)


def write(folder: Path, produced: Mapping[str, bytes]) -> None:
    """Leaves these files in the folder, and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, content in produced.items():
        (folder / name).write_bytes(content)


def test_every_client_and_every_platform_is_in_the_matrix() -> None:
    """A new value of either schema fails here until it has a row or a column."""
    assert set(CLIENTS.values()) == set(CLIENT_DIALECTS)
    assert set(SCHEMAS) == set(PLATFORMS)


def test_no_cell_and_no_scenario_is_left_over() -> None:
    """A folder that no test writes would go stale."""
    known = {cell.folder(scenario) for cell, scenario in CASES}
    assert {path for cell in CELLS for path in (ROOT / "cells" / cell.name).iterdir()} == known
    assert {path.name for path in (ROOT / "cells").iterdir()} == {cell.name for cell in CELLS}


def test_no_input_is_left_over() -> None:
    """Each file of a client or an upstream is read by a scenario, and nothing else lies there."""
    asked = {f"{each.ask}.json" for each in scenarios() if each.after is None}
    for client in CLIENTS:
        names = {path.name for path in (ROOT / "clients" / client).iterdir()}
        assert names <= asked, client
    answers = {each.answer for each in scenarios() if each.error is None}
    for path in (ROOT / "upstreams").rglob("*.*"):
        assert path.name in {"backend.yaml", "errors.yaml"} or path.stem in answers, path


#: How many places at which a stream is cut in two.
SPLITS = 24


@each_cell
def test_stream_is_the_same_at_every_split(cell: Cell) -> None:
    """A stream gives the same bytes byte by byte and cut at any place; of long ones a part of the places is tried."""
    with every_case() as case:
        for scenario in (each for at, each in CASES if at == cell and each.streams):
            with case(scenario.name):
                check_splits(cell, scenario)


def check_splits(cell: Cell, scenario: Scenario) -> None:
    whole = run(cell, scenario)
    length = len(answer_of(cell.schema, scenario).body)
    stride = max(1, length // SPLITS)
    splits = [range(1, length), *([place] for place in range(1, length, stride))]
    for cuts in splits:
        result = played(cell, scenario, cuts)
        assert (result.body, result.record.usage, result.record.outcome) == (
            whole.body,
            whole.record.usage,
            whole.record.outcome,
        ), list(cuts)[:3]
