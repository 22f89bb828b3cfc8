"""The supervisor, driven as a process: starts, deaths, signals, ends."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.supervised import ROOT, Supervised, supervised
from tests.support.waiting import is_alive, until


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """Two workers that tests may kill, one at a time."""
    with supervised(tmp_path_factory.mktemp("x"), "--workers", "2") as found:
        found.wait_ready()
        yield found


def test_all_workers_serve_the_configuration(running: Supervised) -> None:
    """Each worker has a process, an address of its own and the file's revision."""
    running.wait_ready()
    workers = running.workers()

    assert [(w["index"], w["revision"], w["ready"]) for w in workers] == [(0, 4, True), (1, 4, True)]
    assert len({w["pid"] for w in workers}) == 2
    for index in (0, 1):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"{running.folder}/w.{index}")


def test_supervisor_does_not_carry_grpc(running: Supervised) -> None:
    """Only the workers map gRPC's library; the process that must survive everything is small."""
    maps = {pid: Path(f"/proc/{pid}/maps").read_text() for pid in [running.process.pid, *running.pids()]}

    assert ["cygrpc" in maps[pid] for pid in maps] == [False, True, True]


@pytest.mark.parametrize("index", [0, 1])
def test_killed_worker_is_respawned_and_its_counters_go_on(running: Supervised, index: int) -> None:
    """Kill -9: a new process listens at the same address, the other worker is untouched, no counter falls."""
    running.wait_ready()
    loads = running.metric('llmroute_config_loads_total{result="ok"}')
    starts = running.metric(f'llmroute_worker_starts_total{{worker="{index}"}}')
    before = running.pids()
    os.kill(before[index], signal.SIGKILL)
    running.replaced(index, before[index])

    assert running.pids()[1 - index] == before[1 - index]
    assert running.metric('llmroute_config_loads_total{result="ok"}') == loads + 1
    assert running.metric(f'llmroute_worker_starts_total{{worker="{index}"}}') == starts + 1
    assert running.metric("llmroute_config_revision") == 4
    assert f"(pid {before[index]}) died: killed by SIGKILL" in running.log()


def test_terminated_worker_drains_and_is_respawned(running: Supervised) -> None:
    """SIGTERM to one worker: it ends by itself with 0, and its place is filled."""
    running.wait_ready()
    pid = running.pids()[0]
    os.kill(pid, signal.SIGTERM)
    running.replaced(0, pid)

    assert f"(pid {pid}) died: exit code 0" in running.log()


def test_new_configuration_reaches_all_workers(running: Supervised) -> None:
    """The page tells the oldest revision among the workers, so the new one when all have it; then what is broken."""
    running.wait_ready()
    text = running.config.read_text()
    running.config.write_text(text.replace("revision: 4", "revision: 5"))
    until(lambda: running.ask("/config")[1].startswith('{\n  "revision": 5,'))
    assert [w["revision"] for w in running.workers()] == [5, 5]
    running.config.write_text("rulez: []")
    until(lambda: "rulez" in running.ask("/config")[1])

    assert running.metric("llmroute_config_error") == 1
    assert running.ready()
    running.config.write_text(text)
    until(lambda: running.ask("/config")[1].startswith('{\n  "revision": 4,'))
    until(lambda: running.metric("llmroute_config_error") == 0)


def test_sigterm_ends_everything(tmp_path: Path) -> None:
    """Exit 0, no worker left, no temporary file left."""
    with supervised(tmp_path, "--workers", "2") as found:
        found.wait_ready()
        pids = found.pids()

        assert found.end() == 0
        assert not any(map(is_alive, pids))
        assert list(found.temporary.iterdir()) == []


def test_ctrl_c_reaches_all_and_ends_in_order(tmp_path: Path) -> None:
    """SIGINT to supervisor and workers at once, as a terminal sends it, drains: exit 0."""
    with supervised(tmp_path) as found:
        found.wait_ready()
        for pid in [*found.pids(), found.process.pid]:
            os.kill(pid, signal.SIGINT)

        assert found.process.wait(15) == 0


def test_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Who asks twice does not wait for the grace: exit 1, and nothing is left."""
    with supervised(tmp_path, "--shutdown-grace", "30") as found:
        found.wait_ready()
        pids = found.pids()
        found.process.send_signal(signal.SIGTERM)
        until(lambda: "draining" in found.ask("/readyz")[1])
        started = time.monotonic()
        found.process.send_signal(signal.SIGTERM)

        assert found.process.wait(10) == 1
        assert time.monotonic() - started < 5
        assert not any(map(is_alive, pids))


def test_workers_of_a_killed_supervisor_end(tmp_path: Path) -> None:
    """Kill -9 of the supervisor: the workers notice, drain and exit."""
    with supervised(tmp_path, "--workers", "2") as found:
        found.wait_ready()
        pids = found.pids()
        found.process.kill()
        found.process.wait()

        until(lambda: not any(map(is_alive, pids)), "workers outlived their supervisor")


def test_killed_forkserver_changes_nothing(tmp_path: Path) -> None:
    """Without the process that workers are forked from, they serve on, are respawned, and end when asked."""
    with supervised(tmp_path) as found:
        found.wait_ready()
        (pid,) = found.pids()
        os.kill(_parent(pid), signal.SIGKILL)
        time.sleep(0.3)
        assert found.pids() == [pid]
        assert found.ready()
        os.kill(pid, signal.SIGKILL)
        found.replaced(0, pid)

        assert found.end() == 0


@pytest.mark.parametrize("kind", ["unix", "port"])
def test_killed_worker_keeps_its_socket(tmp_path: Path, kind: str) -> None:
    """From kill -9 until its successor serves, the address never refuses: what connects waits, and is answered."""
    port = _free_pair()
    with supervised(tmp_path, listen=f"127.0.0.1:{port}" if kind == "port" else "") as found:
        found.wait_ready()
        (pid,) = found.pids()
        os.kill(pid, signal.SIGKILL)
        connections = [_connect(found, port if kind == "port" else None)]
        while not _replaced(found, pid):
            connections.append(_connect(found, port if kind == "port" else None))
            time.sleep(0.002)

        for connection in connections:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            assert connection.recv(9)[3] == 4
            connection.close()


def test_grpc_that_does_not_let_its_socket_be_replaced(tmp_path: Path) -> None:
    """Without kept sockets everything else works: the workers bind by themselves, and are respawned."""
    (tmp_path / "sitecustomize.py").write_text(
        "import re\nfrom extproc.server import listener\nlistener._WATCHED = re.compile('changed')\n"
    )
    with supervised(tmp_path, "--workers", "2", PYTHONPATH=f"{tmp_path}:{ROOT}") as found:
        found.wait_ready()
        pids = found.pids()
        assert "watched 0 times" in found.log()
        os.kill(pids[0], signal.SIGKILL)
        found.replaced(0, pids[0])

        assert found.pids()[1] == pids[1]
        assert found.end() == 0


def test_crash_loop_backs_off(tmp_path: Path) -> None:
    """Worker deaths in quick succession: respawned at once after the first, later after a growing wait."""
    with supervised(tmp_path) as found:
        found.wait_ready()
        for _ in range(3):
            (pid,) = found.pids()
            os.kill(pid, signal.SIGKILL)
            found.replaced(0, pid)

        delays = [
            float(line.split("respawning in ")[1].split()[0]) for line in found.log().splitlines() if "respawn" in line
        ]
        assert delays == pytest.approx([0.0, 0.25, 1.0], abs=0.02)


@pytest.mark.parametrize("flag", ["--listen", "--admin"])
def test_taken_port_is_said_and_fatal(tmp_path: Path, flag: str) -> None:
    """An address that another process has: exit 1, and the log names it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with supervised(tmp_path, flag, address) as found:
            assert found.process.wait(15) == 1
            assert address in found.log()
            assert "Traceback" not in found.log()
            assert list(found.temporary.iterdir()) == []


def test_broken_configuration_at_the_start_is_waited_for(tmp_path: Path) -> None:
    """Not ready, with the reason, until the file is good."""
    with supervised(tmp_path, config="rulez: []") as found:
        until(lambda: _page(found, "/readyz") == 503 and "rulez" in found.ask("/readyz")[1])
        assert found.ask("/healthz")[0] == 200
        found.config.write_text("rules: []")

        found.wait_ready()


def test_tcp_workers_listen_on_successive_ports(tmp_path: Path) -> None:
    """Worker i has the port of --listen plus i."""
    port = _free_pair()
    with supervised(tmp_path, "--workers", "2", listen=f"127.0.0.1:{port}") as found:
        found.wait_ready()

        for offset in (0, 1):
            socket.create_connection(("127.0.0.1", port + offset), timeout=5).close()


def _free_pair() -> int:
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
            try:
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port
            except (OSError, OverflowError):
                continue


def _connect(found: Supervised, port: int | None) -> socket.socket:
    if port is not None:
        return socket.create_connection(("127.0.0.1", port), timeout=10)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(f"{found.folder}/w.0")
    return connection


def _replaced(found: Supervised, pid: int) -> bool:
    (worker,) = found.workers()
    return bool(worker["ready"]) and worker["pid"] != pid


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _page(found: Supervised, path: str) -> int:
    try:
        return found.ask(path)[0]
    except OSError:
        return 0
