"""What is taken out of a vendor's words costs no more than reading them once."""

import json
import re
from collections.abc import Callable

import pytest

from extproc.conversation.errors import ApiError
from extproc.dialects import bedrock, gemini
from extproc.dialects.bedrock.errors import ACCOUNT, ARN, ARN_ACCOUNT
from extproc.dialects.gemini.errors import OWN_NAMES
from extproc.dialects.vendor_words import MAX_MESSAGE, shortened
from tests.support.wire_costs import assert_linear

PATTERNS = {"OWN_NAMES": OWN_NAMES, "ARN": ARN, "ARN_ACCOUNT": ARN_ACCOUNT, "ACCOUNT": ACCOUNT}
#: Beginnings of what is looked for, over and over, and runs that look like the middle of one.
PIECES = [
    *("a", "-", ".", "a.", "a@", "@a", "a@b.", "a@gserviceaccount.", "x@y.gserviceaccount.co ", "/", "//", "//a."),
    *("//a.googleapis.", "//a.googleapis.com", "project", "project ", "projects/", "project number ", "api_key:"),
    *("AIza", "AIza-", "arn:aws", "arn:aws:", "arn:aws-", "arn:aws:a:b:1 ", "1", "123456789012", "1 ", ":", "arn:"),
]


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("piece", PIECES)
def test_looking_for_names_is_linear(name: str, piece: str) -> None:
    """Eight times the message takes no square of eight, whatever it is made of."""
    pattern: re.Pattern[str] = PATTERNS[name]

    def looking(size: int) -> Callable[[], object]:
        message = (piece * size)[:size]
        return lambda: pattern.sub("", message)

    assert_linear(looking, 4_000)


def told(dialect: str, message: str) -> ApiError:
    if dialect == "gemini":
        body = {"error": {"status": "INVALID_ARGUMENT", "message": message, "details": [violation(message)]}}
        return gemini.DIALECT.read_error(400, {}, json.dumps(body).encode())
    said = {"message": message, "originalStatusCode": 400, "originalMessage": message}
    return bedrock.DIALECT.read_error(400, {"x-amzn-errortype": "ValidationException"}, json.dumps(said).encode())


def violation(field: str) -> dict[str, list[dict[str, str]]]:
    return {"fieldViolations": [{"field": field}]}


@pytest.mark.parametrize("dialect", ["gemini", "bedrock"])
def test_long_messages_are_cut(dialect: str) -> None:
    """A message may quote a whole prompt; no more than 4 KB of it is looked through, or told."""
    assert len(told(dialect, 'Unknown name "' + "a" * 1_000_000 + '"').message) <= MAX_MESSAGE + 8


@pytest.mark.parametrize("before", range(MAX_MESSAGE - 40, MAX_MESSAGE + 2, 3))
def test_no_name_is_cut_in_half(before: int) -> None:
    """Half a name would not be known as one."""
    message = "a " * (before // 2) + "secret-1@p.iam.gserviceaccount.com has no access."

    assert "secret" not in told("gemini", message).message


def test_short_messages_stay() -> None:
    """Up to the limit nothing is cut, and what has no blank in it is not told at all beyond it."""
    assert shortened("a" * MAX_MESSAGE) == "a" * MAX_MESSAGE
    assert shortened("a" * (MAX_MESSAGE + 1)) == " (…)"
    assert shortened("a\n" + "b" * MAX_MESSAGE) == "a (…)"
