"""Every kind of ``auth`` in every condition, through real Envoy, and the page that says so."""

import ast
import time
from collections.abc import Iterator, Mapping

import pytest

from tests.support.credential_realm import MARK
from tests.support.credential_stand import CLIENT, SPOOFED, Got, Stand, running_cells, until_settled
from tests.support.credential_table import AUTHS, CELLS, FETCHED, IDENTIFIED, PAGE, ROOT, STATES, Cell, page

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("credentials")]

QUICK = [cell for cell in CELLS if not cell.loaded]
#: A pod without tokens of its own is another pod.
BARE = [cell.name for cell in QUICK if cell.auth in IDENTIFIED and cell.state == "missing"]


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with running_cells([cell.name for cell in QUICK if cell.name not in BARE]) as stand:
        for name in ("passthrough-valid", "passthrough-slow"):
            stand.realm.known[name].add(f"Bearer {CLIENT}")
        yield stand


@pytest.fixture(scope="module")
def bare() -> Iterator[Stand]:
    with running_cells(BARE, identity=False) as stand:
        yield stand


#: What is said once a fetch has taken as long as it may, which a busy machine may come to.
GIVEN_UP = "its token endpoint cannot be reached"


@pytest.mark.parametrize("cell", QUICK, ids=lambda cell: cell.name)
def test_cell(cell: Cell, request: pytest.FixtureRequest) -> None:
    """The client gets what the table says, and the upstream is shown this backend's credential or nothing."""
    stand: Stand = request.getfixturevalue("bare" if cell.name in BARE else "stand")
    began = time.monotonic()
    got = stand.ask(cell.name, _headers(cell))
    took = time.monotonic() - began
    if cell.state != "slow":
        got = until_settled(lambda: stand.ask(cell.name, _headers(cell)))
    if cell.state == "expired" and cell.auth in FETCHED:
        got = _until_over(stand, cell)

    said = cell.words in got.body
    if cell.state == "slow" and cell.status == 503:
        said |= GIVEN_UP in got.body
    assert (got.status, said) == (cell.status, True), got
    assert (got.status == 200) == bool(stand.realm.shown[cell.name])
    if cell.state == "slow":
        assert took < 2
    if got.status in {502, 503}:
        assert f"'default/{cell.name}'" in got.message
        assert MARK not in got.body


@pytest.mark.parametrize("cell", [cell for cell in QUICK if cell.status == 200], ids=lambda cell: cell.name)
def test_a_stream_is_shown_the_same(stand: Stand, cell: Cell) -> None:
    """A request for a stream is let in as well: what is signed is what is sent."""
    got = stand.ask(cell.name, _headers(cell), stream=True)

    assert (got.status, "data: " in got.body) == (200, True)


def test_every_kind_in_every_condition() -> None:
    """No cell is left out, and none is there twice."""
    assert sorted(cell.name for cell in CELLS) == sorted(f"{auth}-{state}" for auth in AUTHS for state in STATES)


def test_the_page_says_what_is_tested(*, update_golden: bool) -> None:
    """The page is made of the table that the tests run over, and names tests that exist."""
    if update_golden:
        PAGE.write_text(page())
    assert PAGE.read_text() == page()
    for file, name in {tuple(cell.test.partition("[")[0].split("::")) for cell in CELLS}:
        tree = ast.parse((ROOT / file).read_text())
        assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


def _headers(cell: Cell) -> Mapping[str, str]:
    """What the client sends: a key of its own and tricks, but where the cell is of one without a key."""
    match cell.auth, cell.state:
        case ("passthrough" | "none", "missing") | ("fallback", _):
            return {}
        case "passthrough", "malformed":
            return {"authorization": f"%%% {CLIENT}"}
        case "passthrough", _:
            return {"authorization": f"Bearer {CLIENT}"}
        case _:
            return SPOOFED


def _until_over(stand: Stand, cell: Cell) -> Got:
    """A token of a second may be good for the first request."""
    deadline = time.monotonic() + 10
    while (got := stand.ask(cell.name, _headers(cell))).status == 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    stand.realm.shown[cell.name].clear()
    return got
