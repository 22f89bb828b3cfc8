"""A whole gateway for tests: the real extproc and the real Envoy, by the code that ``llmroute run`` uses.

``running_gateway`` is for plain tests and fixtures of any scope, ``open_gateway`` for asynchronous ones.
"""

import contextlib
import json
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controller.api import API_VERSION, Severity
from controller.standalone.demo import DemoProvider
from controller.standalone.faults import Fault
from controller.standalone.gateway import Gateway
from controller.standalone.gateway import running_gateway as running
from controller.standalone.manifests import read_manifests
from controller.standalone.options import Options
from controller.standalone.probes import ask, wait_until
from controller.standalone.run import demo_manifests
from controller.translate import Settings, Snapshot, Translation, translate
from controller.translate.canonical import digest
from tests.support.background import Background, T
from tests.support.waiting import until

Document = Mapping[str, Any]

#: Quick to start, easy to read, gone at once.
TEST_OPTIONS = Options(port=0, workers=1, concurrency=1, log_level="info", log_format="json", linger_s=0.2, drain_s=0)


def route(*rules: Document, name: str = "route", **spec: Any) -> Document:
    """An LLMRoute with these rules."""
    return {
        "apiVersion": API_VERSION,
        "kind": "LLMRoute",
        "metadata": {"name": name},
        "spec": {"rules": list(rules), **spec},
    }


def rule(
    model: str | None = None, *refs: str | Document, headers: Mapping[str, str] | None = None, **fields: Any
) -> Document:
    """A rule for one model (None: for all) and these headers; backends by name, or as they stand in a manifest."""
    wanted = {**({} if model is None else {"x-ai-eg-model": model}), **(headers or {})}
    matches = [{"headers": [{"name": name, "value": value} for name, value in wanted.items()]}] if wanted else []
    backends = [{"name": ref} if isinstance(ref, str) else ref for ref in refs]
    return {"matches": matches, "backendRefs": backends, **fields}


def backend(name: str, port: int, schema: str = "OpenAI", **spec: Any) -> Document:
    """An LLMBackend on a loopback port."""
    endpoint = {"hostname": "127.0.0.1", "port": port, "tls": {"enabled": False}}
    return {
        "apiVersion": API_VERSION,
        "kind": "LLMBackend",
        "metadata": {"name": name},
        "spec": {"outputSchema": {"schema": schema}, "endpoint": endpoint, **spec},
    }


@dataclass(frozen=True, slots=True)
class Records:
    """What the processes wrote. All files grow; a session's tests share them."""

    folder: Path

    @property
    def access_path(self) -> Path:
        return self.folder / "access.log"

    def access(self) -> list[dict[str, Any]]:
        """Envoy's access log so far; it is flushed ten times a second."""
        return _json_lines(self.access_path)

    def access_of(self, request_id: str) -> dict[str, Any]:
        """The line of a request that was sent with this ``x-request-id``; waits for it."""
        return _line_of(self.access, request_id)

    def requests(self) -> list[dict[str, Any]]:
        """What extproc logged of each request so far."""
        return _json_lines(self.folder / "stdout.log")

    def request_of(self, request_id: str) -> dict[str, Any]:
        """What extproc logged of one request; waits for it."""
        return _line_of(self.requests, request_id)

    def errors(self) -> list[str]:
        """Everything both processes wrote to standard error, line by line."""
        return (self.folder / "stderr.log").read_text().splitlines()


class OpenGateway:
    """A running gateway, for asynchronous code."""

    def __init__(self, gateway: Gateway, records: Records, http2_backends: frozenset[str], reports: list[str]) -> None:
        self.gateway = gateway
        self.records = records
        #: What a person at the terminal would have been told.
        self.reports = reports
        self._http2_backends = http2_backends

    @property
    def base_url(self) -> str:
        """Without ``/v1``."""
        return self.gateway.base_url

    @property
    def admin_url(self) -> str:
        """The admin pages of extproc."""
        return f"http://127.0.0.1:{self.gateway.ports.extproc_admin}"

    @property
    def envoy_admin_url(self) -> str:
        """Envoy's admin interface."""
        return f"http://127.0.0.1:{self.gateway.ports.envoy_admin}"

    def spurious_answers(self) -> int:
        """Answers of the processor that Envoy had no use for."""
        with urllib.request.urlopen(f"{self.envoy_admin_url}/stats?filter=ext_proc.*spurious", timeout=5) as page:
            counts = [int(line.rpartition(b":")[2]) for line in page]
        assert counts, "Envoy does not count them any more"
        return sum(counts)

    @property
    def envoy_pid(self) -> int:
        return self.gateway.envoy.pid or 0

    @property
    def extproc_pid(self) -> int:
        """The supervisor of the workers."""
        return self.gateway.extproc.pid or 0

    def config(self) -> Any:
        """The ``/config`` page of extproc."""
        with urllib.request.urlopen(f"{self.admin_url}/config", timeout=5) as page:
            return json.load(page)

    def worker_pids(self) -> list[int]:
        """The processes that serve, by the number of their worker."""
        return [int(worker["pid"]) for worker in self.config()["workers"]]

    def metrics(self) -> dict[str, float]:
        """The counters of extproc, by name with labels."""
        with urllib.request.urlopen(f"{self.admin_url}/metrics", timeout=5) as page:
            lines = [line for line in page.read().decode().splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    async def wait(self) -> None:
        """Returns when both processes are ready, again perhaps."""
        await wait_until(self._answers, "the gateway did not become ready", 15)

    async def _answers(self) -> bool:
        # Envoy's threads hear of a recovery up to a second after its main thread, whose word is_ready takes.
        path = f"{self.gateway.options.path_prefix}/v1/models"
        return await self.gateway.is_ready() and (await ask(self.gateway.ports.clients, path))[0] == 200

    async def apply(self, documents: Sequence[Document] | str, *, faulty: bool = False) -> bool:
        """Serve these documents instead; returns when that is so. Says whether anything changed."""
        prefix = self.gateway.options.path_prefix
        return await self.gateway.apply(translation_of(documents, prefix, self._http2_backends, faulty=faulty))


class RunningGateway:
    """The same for plain code."""

    def __init__(self, background: Background, opened: OpenGateway) -> None:
        self._background = background
        self.open = opened
        self.base_url = opened.base_url
        self.admin_url = opened.admin_url
        self.envoy_admin_url = opened.envoy_admin_url
        self.records = opened.records

    def reload(self, documents: Sequence[Document] | str, *, faulty: bool = False) -> bool:
        """Serve these documents instead; returns when that is so. Says whether anything changed."""
        return self.run(self.open.apply(documents, faulty=faulty))

    def wait(self) -> None:
        """Returns when both processes are ready, again perhaps."""
        self.run(self.open.wait())

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Run a coroutine on the gateway's own loop."""
        return self._background.run(work)


@asynccontextmanager
async def open_gateway(
    documents: Sequence[Document] | str, options: Options = TEST_OPTIONS, *, http2_backends: Sequence[str] = ()
) -> AsyncIterator[OpenGateway]:
    """Both processes, working by these documents (values, or YAML text).

    ``http2_backends``: plain-text backends (``default/up``) that Envoy shall speak HTTP/2 to.
    """
    http2 = frozenset(http2_backends)
    reports: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llmroute-test-")))
        records = Records(folder)
        streams = {name: stack.enter_context((folder / f"{name}.log").open("ab")) for name in ("stdout", "stderr")}
        records.access_path.touch()
        options = replace(
            options,
            access_log=str(records.access_path),
            stdout=streams["stdout"].fileno(),
            stderr=streams["stderr"].fileno(),
        )
        translation = translation_of(documents, options.path_prefix, http2)
        try:
            gateway = await stack.enter_async_context(running(options, translation, reports.append))
        except Fault as fault:
            fault.add_note("\n".join([*reports, *records.errors()[-20:]]))
            raise
        yield OpenGateway(gateway, records, http2, reports)


@contextmanager
def running_gateway(
    documents: Sequence[Document] | str, options: Options = TEST_OPTIONS, *, http2_backends: Sequence[str] = ()
) -> Iterator[RunningGateway]:
    """``open_gateway`` on a loop of its own."""
    with contextlib.closing(Background()) as background:
        manager = open_gateway(documents, options, http2_backends=http2_backends)
        opened = background.enter(manager)
        try:
            yield RunningGateway(background, opened)
        finally:
            background.leave(manager)


@contextmanager
def running_demo(options: Options = TEST_OPTIONS, wishes: str = "delay 0") -> Iterator[RunningGateway]:
    """The demo: its provider, its manifest, and a gateway."""
    with contextlib.closing(Background()) as background:
        provider = DemoProvider(wishes=wishes)
        background.enter(provider)
        try:
            with running_gateway(list(demo_manifests(provider.port).objects), options) as gateway:
                yield gateway
        finally:
            background.leave(provider)


def translation_of(
    documents: Sequence[Document] | str,
    path_prefix: str = "",
    http2_backends: frozenset[str] = frozenset(),
    *,
    faulty: bool = False,
) -> Translation:
    """What documents mean.

    Raises ``ValueError`` for errors in them. With ``faulty`` they are served as the cluster would serve them: without
    the objects that are bad.
    """
    if isinstance(documents, str):
        content = documents.encode()
        documents = read_manifests(["test.yaml"], lambda _: content).objects
    translation = translate(Snapshot.of(documents, Settings(path_prefix=path_prefix)))
    errors = [f"{found.subject}: {found}" for found in translation.findings if found.severity is Severity.ERROR]
    if errors and not faulty:
        raise ValueError("\n".join(errors))
    clusters = translation.envoy.cds["resources"]
    if http2_backends:
        clusters = [_over_http2(each) if each["alt_stat_name"] in http2_backends else each for each in clusters]
    cds = {"version_info": digest(clusters), "resources": clusters}
    return replace(translation, envoy=replace(translation.envoy, cds=cds))


def _over_http2(cluster: Document) -> Document:
    [(name, options)] = cluster["typed_extension_protocol_options"].items()
    prior_knowledge = {**options, "explicit_http_config": {"http2_protocol_options": {}}}
    return {**cluster, "typed_extension_protocol_options": {name: prior_knowledge}}


def _json_lines(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines if line.startswith("{")]


def _line_of(lines: Callable[[], list[dict[str, Any]]], request_id: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found[:] = [line for line in lines() if request_id in line.values()]
        return bool(found)

    until(look, f"no log line of request {request_id}", limit_s=5)
    return found[-1]
