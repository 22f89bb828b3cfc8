"""``docs/dialects/matrix.md`` and the index of the folder: what a run of the matrix shows."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from extproc.conversation.errors import Loss
from extproc.registry import platform
from tests.support.field_report import APIS, DOCS, GENERATED, PAIRS, table
from tests.support.matrix import CELLS, CLIENTS, SCHEMAS, Cell, Scenario, model_of, scenarios
from tests.support.matrix_run import Run, losses_of, run

#: The comparison with another translator; made by hand, with a run of its own.
DIFFERENTIAL = "differential-litellm.md"

#: How the scenarios are told, in the order of the file.
_GROUPS: Mapping[str, Callable[[Scenario], bool]] = {
    "Requests and answers": lambda each: each.error is None and not each.streams,
    "Streams": lambda each: each.streams,
    "Errors": lambda each: each.error is not None,
}


def pages() -> dict[Path, str]:
    """The generated pages by their place."""
    return {DOCS / "README.md": _index(), DOCS / "matrix.md": _matrix()}


def _matrix() -> str:
    notes: dict[str, int] = {}
    parts = [_head()]
    for client in CLIENTS:
        parts.append(f"## {APIS[client]} as the client\n")
        cells = [cell for cell in CELLS if cell.client == client]
        for title, belongs in _GROUPS.items():
            chosen = [each for each in scenarios() if belongs(each) and each.only in {None, CLIENTS[client]}]
            rows = [
                (each.name, *(_mark(cell, each, notes) if cell.schema in each.at else "" for cell in cells))
                for each in chosen
            ]
            parts.append(f"### {title}\n\n{table((title.lower(), *SCHEMAS), rows)}")
    told = "".join(f"{number}. {text}\n" for text, number in notes.items())
    parts.append(f"## Notes\n\n{told}")
    return "\n".join(parts)


def _head() -> str:
    models = [(schema, f"`{model_of(Cell('openai', schema), scenarios()[0])}`") for schema in SCHEMAS]
    return f"""{GENERATED}
# The matrix: every client at every upstream

Each mark is one whole exchange of the test run, from the client's bytes to the upstream's and back; the files are in
`tests/golden/matrix/cells/<client>_to_<schema>/<scenario>/`. Every request was judged by the vendor's own types
(botocore, google-genai, anthropic, openai), every answer, stream and error was read by the client's official SDK, and
every stream was the same at every split.

- **=**: the client's own bytes pass, or all but what the platform wants elsewhere.
- **✓**: translated, and nothing is lost.
- **✓** with numbers: translated; fields of the request were left out or changed, and are listed in the record.
- **✗** with a number: refused with 400 before anything is sent.
- A status, in *Errors*: what the client gets where the upstream fails so. **!** in *Streams*: the stream ends with the
  client's error event.

The models of the run:

{table(("upstream", "model"), models)}"""


def _mark(cell: Cell, scenario: Scenario, notes: dict[str, int]) -> str:
    result = run(cell, scenario)
    if scenario.error is not None:
        return str(result.status)
    if result.refused:
        return f"✗ {_number(_reason(result), notes)}"
    if result.record.outcome != "ok":
        return "!"
    if not cell.translates:
        return "="
    if result.record.dropped:
        lost = losses_of(cell, scenario)
        assert [loss.path for loss in lost] == list(result.record.dropped)
        told = ", ".join(str(number) for number in sorted({_number(_told(loss), notes) for loss in lost}))
        return f"✓ {told}"
    return "✓"


def _reason(result: Run) -> str:
    message: str = json.loads(result.body)["error"]["message"]
    return f"refused: {message}"


def _told(loss: Loss) -> str:
    """One field; where in its array it stood says nothing to a reader."""
    path = re.sub(r"\[\d+\]", "[]", loss.path)
    return f"`{path}` {'left out' if loss.kind == 'drop' else 'changed'}: {loss.reason}"


def _number(text: str, notes: dict[str, int]) -> int:
    return notes.setdefault(text, len(notes) + 1)


def _link(cell: Cell) -> str:
    dialect = platform(cell.schema).dialect
    return f"[{APIS[cell.client]} to {_TITLES[dialect]}]({cell.client}-to-{dialect}.md)"


_TITLES = {pair.upstream: pair.title.removesuffix(" on Vertex AI") for pair in PAIRS}


def _index() -> str:
    rows = [(f"`{CLIENTS[cell.client]}`", f"`{cell.schema}`", _link(cell)) for cell in CELLS]
    compared = (DOCS / DIFFERENTIAL).exists()
    differential = f"- [differential]({DIFFERENTIAL}): where LiteLLM translates otherwise.\n" if compared else ""
    return f"""{GENERATED}
# What each dialect pair carries

- [matrix](matrix.md): every client at every upstream, by scenario, from the test run.
- [cases](cases.md): the named cases of the vendor notes, and the tests that show them.
- [answers](answers.md): what clients get of each member of an answer.
{differential}
Field by field:

{table(("client (`inputSchema.schema`)", "upstream (`outputSchema.schema`)", "page"), rows)}
The words of these tables:

- **carried**: it reaches the upstream and means the same there.
- **approximated**: it reaches the upstream as the nearest thing that the upstream has; listed.
- **dropped**: a tuning field that the upstream does not have; the request goes without it; listed.
- **refused**: content that the upstream cannot take, and without which the answer would be another one: 400 with the
  JSON path. Nothing is sent.
- **harmless**: nothing has to be sent, and nothing is lost.

Listed fields are in the log line of the request and in a counter; they are names and reasons, never values.
"""
