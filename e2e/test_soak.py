"""Thousands of requests of every kind: what the processes hold at the end is what they held after warming up."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

import pytest

from e2e.conftest import Tell
from tests.support.gateway import OpenGateway
from tests.support.load import Client, numbered, stream
from tests.support.plane import Plane, chat, running_plane
from tests.support.waiting import eventually

ROUNDS, ROUND = 8, 1000
PARTS = 10
CLIENTS = 8
#: In the rounds that are compared. gRPC itself grows by some 15 to 30 bytes a stream with Envoy at its other end, also
#: when it only echoes (grpcio 1.85, Envoy 1.40, 240,000 requests); what we would lose by a mistake is more than that.
GROWTH_BYTES = 1_000_000
_PAGE = 4096


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with running_plane() as plane:
        plane.upstream.answer_with(numbered(PARTS, 0))
        yield plane


@dataclass(frozen=True)
class Held:
    """What a process holds: resident bytes, open files, threads."""

    resident: int
    files: int
    threads: int

    @classmethod
    def by(cls, pid: int) -> "Held":
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        return cls(resident, len(list(Path(f"/proc/{pid}/fd").iterdir())), int(status["Threads"]))


async def test_nothing_grows(plane: Plane, tell: Tell) -> None:
    """Neither memory nor open files grow with requests: answered, refused, streamed or left early."""
    gateway = plane.gateway.open
    watched = {"worker": gateway.worker_pids()[0], "supervisor": gateway.extproc_pid, "Envoy": gateway.envoy_pid}
    held: dict[str, list[Held]] = {name: [] for name in watched}
    port = int(gateway.base_url.rpartition(":")[2])
    for _ in range(ROUNDS):
        await one_round(port)
        plane.upstream.forget()
        await eventually(lambda: idle(gateway), "streams stay open")
        for name, pid in watched.items():
            held[name].append(Held.by(pid))

    for name, seen in held.items():
        tell(of=name, rss_mb=[round(one.resident / 1e6, 1) for one in seen], files=[one.files for one in seen])
    for name, seen in held.items():
        assert growth(seen) < GROWTH_BYTES, (name, seen)
        # Envoy's connections to the upstream come and go by ones; what leaks with requests leaks by hundreds.
        assert min(one.files for one in seen[-3:]) <= max(one.files for one in seen[1:4]) + 4, (name, seen)
        assert min(one.threads for one in seen[-3:]) <= max(one.threads for one in seen[1:4]), (name, seen)
    plane.demand_clean()


def growth(seen: Sequence[Held]) -> float:
    """From the rounds after the first, which warms up, to the last ones."""
    resident = [one.resident for one in seen]
    return median(resident[-2:]) - median(resident[1:3])


def idle(gateway: OpenGateway) -> bool:
    return gateway.metrics().get("llmroute_streams_in_flight", 0) == 0


async def one_round(port: int) -> None:
    """All kinds of requests, in turn, over connections that are kept and streams on connections of their own."""
    numbers = iter(range(ROUND))
    wrong: list[str] = []

    async def client() -> None:
        async with Client(port) as connection:
            wrong.extend([await one_request(port, connection, number) for number in numbers])

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
    assert [problem for problem in wrong if problem] == []


_fresh = count()


async def one_request(port: int, connection: Client, number: int) -> str:
    """What was wrong with it; mostly nothing."""
    model = ("plain", "bedrock", "plain-h2", "bedrock-h2")[number // 10 % 4]
    match number % 10:
        case 0:
            return (await stream(port, chat(model, stream=True), PARTS)).fault
        case 1:
            return await left_early(port, chat(model, stream=True))
        case 2:
            body, wanted = chat(f"unheard-of-{next(_fresh)}"), 404
        case 3:
            body, wanted = b'{"model": "bedrock", "messages": 1}', 400
        case 4:
            body, wanted = chat(model, user="x" * 50_000), 200
        case _:
            body, wanted = chat(model), 200
    got = await connection.ask(body)
    return "" if (got.status, got.fault) == (wanted, "") else f"{got.status} instead of {wanted}: {got.fault}"


async def left_early(port: int, body: bytes) -> str:
    """A client that goes once it has seen the answer begin."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    line = await reader.readline()
    writer.close()
    return "" if line.startswith(b"HTTP/1.1 200") else line.decode()
