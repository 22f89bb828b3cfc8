"""Every kind of ``auth`` in every condition, what comes of it, and the test that shows it: the table and its page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "credentials-matrix.md"
QUICK = "tests/dataplane/test_credentials.py::test_cell"
LOADED = "e2e/test_credential_rotation.py::test_rotated"

#: The rows, by the name that backends have here.
AUTHS: Mapping[str, str] = {
    "apikey": "apiKey",
    "awskeys": "aws, keys",
    "webidentity": "aws, webIdentity",
    "bedrockkey": "aws, bedrockAPIKey",
    "gcpkey": "gcp, service account",
    "gcppool": "gcp, workloadIdentity",
    "azuresecret": "azure, client secret",
    "azurefederated": "azure, federatedToken",
    "passthrough": "passthrough",
    "fallback": "passthrough, fallback",
    "none": "none",
}
#: Those that a user's Secret is for, and those that a provider gives tokens for.
FILED = ("apikey", "awskeys", "bedrockkey", "gcpkey", "azuresecret", "fallback")
FETCHED = ("webidentity", "gcpkey", "gcppool", "azuresecret", "azurefederated")
#: Those that prove themselves by the processor's own token.
IDENTIFIED = ("webidentity", "gcppool", "azurefederated")
STATES: Mapping[str, str] = {
    "valid": "it is good",
    "missing": "there is none: no Secret; of a cloud's identity no token of the pod's; of `passthrough` no key in the"
    " request",
    "malformed": "it is none: a line break in a key, half an INI file, JSON without a key; of an identity, an answer of"
    " the provider's that holds no token; of `passthrough`, a header that is no key",
    "expired": "the upstream refuses it; of a token, it is over when it is given",
    "rotated": "it is replaced while requests go on, and both are good for a while",
    "slow": "every provider of tokens hangs",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """``status``: what the client gets; ``words``: in the error's message. ``loaded``: shown by the long run."""

    auth: str
    state: str
    status: int
    outcome: str
    words: str = ""

    @property
    def name(self) -> str:
        """Of the backend, its model and the test's parameter."""
        return f"{self.auth}-{self.state}"

    @property
    def loaded(self) -> bool:
        return self.state == "rotated" and self.auth != "none"

    @property
    def test(self) -> str:
        """The test's id."""
        return f"{LOADED}[{self.auth}]" if self.loaded else f"{QUICK}[{self.name}]"


_SHOWN = "200; the upstream is shown it"
_AS_IT_IS = "the upstream's 401 as it is"
_UNUSABLE = "503 naming the backend; nothing is sent"
_BLAMED = "502; the gateway's credential was refused"
_UNREPLACED = "200; nobody fails, and both are shown in turn"


def _own(auth: str) -> Iterator[Cell]:
    """Of a credential of the gateway's own."""
    identified, fetched = auth in IDENTIFIED, auth in FETCHED
    missing = "no token of its own" if identified else "its credential is missing"
    malformed = "no usable answer" if identified else "malformed"
    yield Cell(auth, "valid", 200, _SHOWN)
    yield Cell(auth, "missing", 503, _UNUSABLE, missing)
    yield Cell(auth, "malformed", 503, _UNUSABLE, malformed)
    if fetched:
        yield Cell(auth, "expired", 503, _UNUSABLE, "cannot be used")
        yield Cell(auth, "slow", 503, "503 at once, naming the backend; nobody waits", "is being fetched")
    else:
        yield Cell(auth, "expired", 502, _BLAMED, "refused the gateway's own credential")
        yield Cell(auth, "slow", 200, "200 at once; nothing is fetched")
    within = "; the new one with the next refresh" if identified else "; the new one within 2 s"
    yield Cell(auth, "rotated", 200, _UNREPLACED + within)


def _cells() -> Iterator[Cell]:
    for auth in AUTHS:
        if auth not in {"passthrough", "fallback", "none"}:
            yield from _own(auth)
    yield Cell("passthrough", "valid", 200, "200; the upstream is shown the client's")
    yield Cell("passthrough", "missing", 401, _AS_IT_IS)
    yield Cell("passthrough", "malformed", 401, _AS_IT_IS)
    yield Cell("passthrough", "expired", 401, _AS_IT_IS)
    yield Cell("passthrough", "slow", 200, "200 at once; nothing is fetched")
    yield Cell("passthrough", "rotated", 200, "200; each request is shown with its own")
    yield Cell("fallback", "valid", 200, "200; the upstream is shown the gateway's, as the client has none")
    yield Cell("fallback", "missing", 503, _UNUSABLE, "its credential is missing")
    yield Cell("fallback", "malformed", 503, _UNUSABLE, "malformed")
    yield Cell("fallback", "expired", 502, _BLAMED, "refused the gateway's own credential")
    yield Cell("fallback", "slow", 200, "200 at once; nothing is fetched")
    yield Cell("fallback", "rotated", 200, f"{_UNREPLACED}; the new one within 2 s")
    yield Cell("none", "valid", 200, "200; the upstream is shown nothing, not even what the client sent")
    yield Cell("none", "missing", 200, "200; the upstream is shown nothing")
    yield Cell("none", "malformed", 200, "200; the upstream is shown nothing")
    yield Cell("none", "expired", 401, _AS_IT_IS)
    yield Cell("none", "slow", 200, "200 at once; nothing is fetched")
    yield Cell("none", "rotated", 200, "200; the upstream is shown nothing, whatever the client sends")


CELLS: Sequence[Cell] = tuple(_cells())


def page() -> str:
    """``docs/credentials-matrix.md``."""
    by_place = {(cell.auth, cell.state): cell for cell in CELLS}
    head = ["`auth`", *STATES]
    rows = [[title, *(str(by_place[auth, state].status) for state in STATES)] for auth, title in AUTHS.items()]
    states = "".join(f"- **{name}**: {meaning}.\n" for name, meaning in STATES.items())
    cells = [
        [AUTHS[cell.auth], cell.state, cell.outcome, f"`{cell.test}`"]
        for cell in sorted(CELLS, key=lambda cell: (list(AUTHS).index(cell.auth), list(STATES).index(cell.state)))
    ]
    return f"""<!-- Written by tests/dataplane/test_credentials.py --update-golden. Do not edit. -->
# Credentials: every kind in every condition

Each cell is a request of a client with a key of its own, through a real Envoy and a real processor, to an upstream that
lets in whom it knows: it compares keys and tokens, and verifies AWS signatures over what has arrived, by botocore's own
signer. Tokens are given by servers for the clouds on the same machine, which verify what they are shown, too. The
statuses are the client's:

{_table(head, rows)}
What the columns mean:

{states}
## Cell by cell

The short id of each test is all that `pytest` needs.

{_table(["`auth`", "condition", "outcome", "test"], cells)}"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
