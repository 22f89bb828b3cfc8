"""What long conversations cost to write."""

from collections.abc import Callable

from msgspec.structs import replace

from extproc.conversation.request import Text, Turn
from extproc.dialects.anthropic import DIALECT
from tests.support.anthropic_messages import destination, openai_request
from tests.support.wire_costs import assert_linear


def test_a_run_of_system_messages_costs_no_square() -> None:
    """System messages between two of the user's are placed without looking through the rest for each."""
    to = destination("claude-opus-4-8")

    def job(count: int) -> Callable[[], object]:
        user = Turn("user", (Text("a", "m"),), "m")
        run = [Turn("system", (Text("s", "m"),), "m") for _ in range(count)]
        request = replace(openai_request(), turns=(*run, user, *run, user, *run))
        return lambda: DIALECT.write_request(request, to)

    assert_linear(job, 500)
