"""The operator's pages, metrics and log."""

import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from controller.operator import health, logs
from controller.operator.metrics import Metrics


class State:
    """An operator that is as it is told to be."""

    fault: str | None = None
    waiting: str | None = "llmroutes have not been listed yet"

    def alive(self) -> str | None:
        return self.fault

    def ready(self) -> str | None:
        return self.waiting


@asynccontextmanager
async def pages(state: State) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """The pages, and somebody who reads them."""
    async with (
        health.serve("127.0.0.1", 0, state, Metrics().registry) as port,
        aiohttp.ClientSession() as session,
    ):
        yield session, f"http://127.0.0.1:{port}"


async def test_health_and_readiness_say_what_is_wrong() -> None:
    """200 and ok, or 503 and why; the two are independent."""
    state = State()
    async with pages(state) as (session, url):
        async with session.get(f"{url}/healthz") as page:
            assert (page.status, await page.text()) == (200, "ok\n")
        async with session.get(f"{url}/readyz") as page:
            assert (page.status, await page.text()) == (503, "llmroutes have not been listed yet\n")
        state.fault, state.waiting = "a pass has been going on for 130 s", None
        async with session.get(f"{url}/healthz") as page:
            assert (page.status, await page.text()) == (503, "a pass has been going on for 130 s\n")
        async with session.get(f"{url}/readyz") as page:
            assert page.status == 200


async def test_the_metrics_page_speaks_both_formats() -> None:
    """Plain text for people and old scrapers, OpenMetrics for who asks for it."""
    async with pages(State()) as (session, url):
        async with session.get(f"{url}/metrics") as page:
            assert "llmroute_controller_config_budget_bytes 1.048576e+06" in await page.text()
            assert page.headers["content-type"].startswith("text/plain")
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        async with session.get(f"{url}/metrics", headers=accept) as page:
            assert (await page.text()).endswith("# EOF\n")
        async with session.get(f"{url}/nothing") as page:
            assert page.status == 404
        async with session.post(f"{url}/healthz") as page:
            assert page.status == 405


async def test_an_address_in_use_is_an_error() -> None:
    """Nobody runs without the pages by which it is watched."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="address already in use"):
            async with health.serve("127.0.0.1", taken.getsockname()[1], State(), Metrics().registry):
                pass


def test_what_is_counted_is_shown() -> None:
    """Each method has its series; a kind is in one state at a time, and objects that went are not counted on."""
    metrics = Metrics()
    metrics.pass_done(0.02, "written")
    metrics.wrote("config", 2)
    metrics.failed("status", "Busy")
    metrics.config({"llmroute-extproc": 700}, 42)
    metrics.leading(leading=True)
    metrics.optional_kind("backends.gateway.envoyproxy.io", "absent")
    metrics.optional_kind("backends.gateway.envoyproxy.io", "watched")
    metrics.objects({("LLMRoute", "Accepted", "True"): 3, ("LLMRoute", "Accepted", "False"): 1})
    metrics.objects({("LLMRoute", "Accepted", "True"): 4})

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"llmroute_controller_{name}", labels)

    assert value("pass_seconds_count", result="written") == 1
    assert value("writes_total", lane="config") == 2
    assert value("write_failures_total", lane="status", reason="Busy") == 1
    assert value("config_bytes", config_map="llmroute-extproc") == 700
    assert value("config_revision") == 42
    assert value("leader") == 1
    assert value("optional_kind", kind="backends.gateway.envoyproxy.io", state="absent") == 0
    assert value("optional_kind", kind="backends.gateway.envoyproxy.io", state="watched") == 1
    assert value("objects", kind="LLMRoute", condition="Accepted", status="True") == 4
    assert value("objects", kind="LLMRoute", condition="Accepted", status="False") is None


@pytest.mark.usefixtures("kept_logging")
def test_a_json_line_is_one_object(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever a message holds, and with the traceback in a field."""
    logs.configure("info", "json")
    logs.configure("info", "json")
    fault = ValueError("x\ny")
    logging.getLogger("controller").error('a "message"\nof two lines \x1b', exc_info=fault)
    logging.getLogger("kopf.objects").info("Handler succeeded")
    lines = capfd.readouterr().err.splitlines()

    assert len(lines) == 1
    line = json.loads(lines[0])
    assert line["message"] == 'a "message"\nof two lines \x1b'
    assert (line["level"], line["logger"]) == ("error", "controller")
    assert "ValueError: x" in line["exception"]


@pytest.mark.usefixtures("kept_logging")
def test_a_text_line_cannot_be_forged(capfd: pytest.CaptureFixture[str]) -> None:
    """A name with a newline or an escape sequence stays in its line; a long one is cut."""
    logs.configure("debug", "text")
    logging.getLogger("controller").info("name %s", "a\n2026 ERROR\x1b[2J")
    logging.getLogger("controller").info("x" * 20_000)
    lines = capfd.readouterr().err.splitlines()

    assert len(lines) == 2
    assert lines[0].endswith("INFO controller: name a\\n2026 ERROR\\x1b[2J")
    assert len(lines[1]) < 8300


@pytest.mark.parametrize(("level", "line_format"), [("loud", "json"), ("info", "xml")])
def test_an_unknown_level_or_format_is_named(level: str, line_format: str) -> None:
    """With what there is to choose from."""
    with pytest.raises(ValueError, match="expected one of"):
        logs.configure(level, line_format)
