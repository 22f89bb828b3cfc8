"""Requests to the API server: how it is reached, who we are, and what its answers mean.

The only module that imports the client library, for the ways to log in that it knows. Its models are not used, and
neither is its session: both cost time, and what is read is judged by ``controller.api``.
"""

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
import yaml
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME, SERVICE_TOKEN_FILENAME

from controller.operator.failures import ClusterError, Faulty, Unauthorized, Unreachable, failure_of

Object = dict[str, Any]

#: Who we are to server-side apply and in the server's logs.
FIELD_MANAGER = "llmroute-controller"

#: Connections at a time, and so requests. What streams has connections of its own, which never wait for each other:
#: whoever opens streams bounds them.
_CONNECTIONS, _UNBOUNDED = 32, 0
#: The longest line of a watch, which is an object: ConfigMaps have up to a MiB, and more when it is escaped.
_LINE_BYTES = 1 << 22

JSON, APPLY, MERGE = "application/json", "application/apply-patch+yaml", "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Request:
    """One call. ``limit_s``: seconds until it is given up. The body, which may be a Secret, is in no ``repr``."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    content_type: str = JSON
    limit_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """How the server is reached, for whoever talks to it without this module. ``token`` is the bare one."""

    server: str
    ca_path: str | None
    ca_data: str | bytes | None
    verify: bool
    token: str | None = field(repr=False)
    certificate_path: str | None
    key_path: str | None


def _nothing() -> None:
    """There is nothing to check."""


class Transport:
    """A pool of connections; ``connect`` makes one. Every method raises only ``ClusterError`` and its kinds."""

    def __init__(self, client: ApiClient, kubeconfig: str | None, context: str | None) -> None:
        self._client = client
        self._kubeconfig, self._context = kubeconfig, context
        self._session = _session(client, _CONNECTIONS)
        self._streams = _session(client, _UNBOUNDED)

    @classmethod
    async def connect(cls, kubeconfig: str | None, context: str | None) -> Self:
        """Read how to reach the server, as a pod does or else as kubectl does. Nothing is sent yet."""
        return cls(ApiClient(await _configuration(kubeconfig, context)), kubeconfig, context)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
        await self._streams.close()
        await self._client.close()

    async def call(self, request: Request, check: Callable[[], None] = _nothing) -> bytes:
        """The body of the answer. A refused credential is read anew and tried once more.

        ``check`` is called just before anything is sent, each time, and may raise instead.
        """
        try:
            async with self._answer(self._session, request, check) as answer:
                return await answer.read()
        except Unauthorized:
            await self._refresh()
        async with self._answer(self._session, request, check) as answer:
            return await answer.read()

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[AsyncIterable[bytes]]:
        """The lines of the answer, as they come; entered when it has begun. A refused credential as in ``call``."""
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(self._answer(self._streams, request, _nothing))
            except Unauthorized:
                await self._refresh()
                answer = await stack.enter_async_context(self._answer(self._streams, request, _nothing))
            yield answer.content

    async def credentials(self) -> Credentials:
        """How to reach the server, read anew."""
        await self._refresh()
        at = self._client.configuration
        return Credentials(
            server=str(at.host),
            ca_path=at.ssl_ca_cert,
            ca_data=at.ca_cert_data,
            verify=bool(at.verify_ssl),
            # It is kept with the word before it: "bearer abc".
            token=str(at.api_key.get("BearerToken", "")).rpartition(" ")[2].strip() or None,
            certificate_path=at.cert_file,
            key_path=at.key_file,
        )

    async def _refresh(self) -> None:
        """A projected token is replaced long before it ends; one that was revoked ends at once."""
        self._client.configuration.api_key = (await _configuration(self._kubeconfig, self._context)).api_key

    @asynccontextmanager
    async def _answer(
        self, session: aiohttp.ClientSession, request: Request, check: Callable[[], None]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        at = self._client.configuration
        url = f"{at.host}{request.path}"
        if request.query:
            url += f"?{urlencode(request.query)}"
        headers = {"Content-Type": request.content_type}
        try:
            await self._client.update_params_for_auth(headers, [], ["BearerToken"], request.path, request.method, None)
            check()
            async with session.request(
                request.method,
                url,
                headers=headers,
                data=None if request.body is None else msgspec.json.encode(request.body),
                timeout=aiohttp.ClientTimeout(total=request.limit_s),
                server_hostname=at.tls_server_name,
            ) as answer:
                if answer.status >= 400:
                    raise failure_of(answer.status, _reason(await answer.read()), answer.headers.get("Retry-After"))
                yield answer
        except TimeoutError:
            raise Faulty(f"no answer to {request.method} {request.path} in {request.limit_s:g} s") from None
        except (aiohttp.ClientError, OSError, ConfigException) as error:
            raise Unreachable(f"{request.method} {request.path}: {str(error) or type(error).__name__}") from None


def _session(client: ApiClient, connections: int) -> aiohttp.ClientSession:
    """The client's own looks into the environment and into ~/.netrc before each request, in two threads."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ssl=client.rest_client.ssl_context),
        headers={"User-Agent": FIELD_MANAGER, "Accept": JSON},
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=_proxy(client.configuration),
        read_bufsize=_LINE_BYTES,
    )


def _proxy(configuration: Configuration) -> str | None:
    """The way to the server that the kubeconfig, or else the environment, asks for; None for the straight one."""
    server = urlsplit(configuration.host)
    if configuration.proxy:
        return str(configuration.proxy)
    if proxy_bypass(server.netloc):
        return None
    return getproxies().get(server.scheme)


async def _configuration(kubeconfig: str | None, context: str | None) -> Configuration:
    configuration = Configuration()
    # Ours to retry. With any number here, 0 too, the library tries GET and PUT again and again on a 5xx.
    configuration.retries = None
    try:
        if kubeconfig is None and context is None and _in_a_pod():
            load_incluster_config(client_configuration=configuration)
        else:
            await load_kube_config(kubeconfig, context, client_configuration=configuration)
    except (ConfigException, OSError, yaml.YAMLError) as error:
        raise ClusterError(f"cannot read how to reach the cluster: {error}") from None
    return configuration


def _in_a_pod() -> bool:
    return SERVICE_HOST_ENV_NAME in os.environ and Path(SERVICE_TOKEN_FILENAME).exists()


def _reason(content: bytes) -> str:
    """What the server says about its refusal: the message of a Status, or what stands there instead."""
    try:
        status = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return content[:200].decode(errors="replace").strip()
    return str(status.get("message", "")) if isinstance(status, dict) else ""
