"""Every file of the matrix before the vendors' own types: botocore, anthropic, openai, google-genai."""

import pytest

from tests.support.every_case import every_case
from tests.support.matrix import SCHEMAS, Cell, answer_of, cases, maybe_file, scenarios
from tests.support.matrix_judges import judge_answer, judge_request, judge_stream, judge_told
from tests.support.matrix_run import run

CASES = cases()
#: An error changes nothing of the request; bytes that pass to OpenAI hold what other servers of its API take.
REQUESTS = [
    (cell, each) for cell, each in CASES if each.error is None and (cell.translates or cell.client == "anthropic")
]
#: Answers that are the gateway's work; the rest is the vendor's own bytes, Azure's oddities among them.
TOLD = [(cell, each) for cell, each in CASES if cell.translates or cell.schema == "AWSAnthropic"]
#: What upstreams answer, each file once.
ANSWERS = [
    (schema, each)
    for schema in SCHEMAS
    for each in scenarios()
    if each.error is None and each.cut is None and each.operation == "chat" and maybe_file(schema, each.answer)
]


@pytest.mark.parametrize("cell", list(dict.fromkeys(cell for cell, _ in REQUESTS)), ids=lambda cell: cell.name)
def test_request_is_one_that_the_vendor_takes(cell: Cell) -> None:
    """The vendor's own types know every member of each request; what is refused never leaves."""
    with every_case() as case:
        for scenario in (each for at, each in REQUESTS if at == cell):
            with case(scenario.name):
                result = run(cell, scenario)
                if result.refused:
                    assert result.status == 400
                else:
                    judge_request(cell, scenario, result)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_answer_is_one_that_the_vendor_gives(schema: str) -> None:
    """A fixture that the upstream could not send proves nothing."""
    with every_case() as case:
        for scenario in (each for at, each in ANSWERS if at == schema):
            with case(scenario.name):
                (judge_stream if scenario.streams else judge_answer)(schema, answer_of(schema, scenario))


@pytest.mark.parametrize("cell", list(dict.fromkeys(cell for cell, _ in TOLD)), ids=lambda cell: cell.name)
def test_client_gets_what_its_sdk_takes(cell: Cell) -> None:
    """Answers, errors and streams are valid by the strict models of the client's own SDK."""
    with every_case() as case:
        for scenario in (each for at, each in TOLD if at == cell):
            with case(scenario.name):
                judge_told(cell, scenario, run(cell, scenario))
