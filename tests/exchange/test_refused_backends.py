"""A backend that can be sent nothing at the moment: its share of the requests is refused, and nobody else gets it."""

import pytest

from extproc.config.loader import load
from extproc.exchange.edges import Edges
from extproc.exchange.gateway import Gateway
from extproc.exchange.machine import Exchange
from extproc.exchange.messages import Action, RequestBody
from tests.support.exchange_driver import chat, error_of, proceed, reply, request_headers

GATEWAY = Gateway.compile(
    load(
        b"""
backends:
- {name: team-a/shut, outputSchema: {schema: OpenAI}, refusal: its certificate is missing}
- {name: team-a/open, outputSchema: {schema: OpenAI}}
rules:
- backends: [{name: team-a/shut, weight: 3}, {name: team-a/open, weight: 1}]
"""
    )
)


def _asked(draw: float) -> Action:
    made = Exchange(GATEWAY, Edges(draw=lambda: draw, now=lambda: 10.0, wall=lambda: 1.7e9, new_id=lambda: "id1"))
    made.receive(request_headers())
    return made.receive(RequestBody(chat(), end=True))


@pytest.mark.parametrize("draw", [0.0, 0.3, 0.74])
def test_its_share_is_refused_by_name(draw: float) -> None:
    """503 with the backend, the reason and a moment's patience."""
    answer = reply(_asked(draw))

    assert answer.status == 503
    assert error_of(answer)["message"] == "backend 'team-a/shut' cannot be used: its certificate is missing"
    assert ("retry-after", "1") in answer.headers


@pytest.mark.parametrize("draw", [0.76, 0.99])
def test_the_others_keep_theirs(draw: float) -> None:
    """Requests that fall on another backend go there."""
    assert dict(proceed(_asked(draw)).set_headers)["x-llmroute-backend"] == "team-a/open"
