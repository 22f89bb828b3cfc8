"""What the command line says: one frozen value, handed to the supervisor and to every worker."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass

#: Linux: ``sun_path`` holds 108 bytes, the last of them NUL (unix(7)).
_UNIX_PATH_BYTES = 107
_UNIX = "unix:"
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_EPILOG = """\
Worker i listens on the port of --listen plus i, or on the path of --listen with ".i" appended (".0" for the first, also
when it is the only one), so that Envoy can spread its streams over the workers: list every address in one cluster.
SIGTERM drains: the health check says NOT_SERVING at once, new streams are taken for --shutdown-grace seconds more, then
open ones get --drain-timeout seconds to end. A second SIGTERM or Ctrl-C ends at once.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the processor runs. Times are seconds; addresses are checked, but not yet bound."""

    config_path: str
    listen: str = "0.0.0.0:1063"
    admin: str = "0.0.0.0:1060"
    workers: int = 1
    log_level: str = "info"
    log_format: str = "json"
    shutdown_grace: float = 2.5
    drain_timeout: float = 30.0
    path_prefix: str | None = None
    check: bool = False
    credentials: str | None = None

    def address(self, index: int) -> str:
        """Worker ``index``'s own address in gRPC's form: ``host:port+index`` or ``unix:path.index``."""
        if self.listen.startswith(_UNIX):
            return f"{self.listen}.{index}"
        host, port = host_port(self.listen)
        return f"{host}:{port + index}"


def host_port(address: str) -> tuple[str, int]:
    """``HOST:PORT`` in its two parts, an IPv6 host still in its brackets. Raises ``ValueError`` with the reason."""
    match = _HOST_PORT.fullmatch(address)
    if match is None:
        raise ValueError(f"{address!r} is not HOST:PORT (for example 0.0.0.0:1063, or [::]:1063)")
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise ValueError(f"port {port} in {address!r} is not between 1 and 65535")
    return match["host"], port


def parse_settings(argv: Sequence[str]) -> Settings:
    """The settings in ``argv`` (without the program's name).

    Anything wrong is printed to stderr with the flag's name, and ``SystemExit(2)`` raised; ``--help`` exits with 0.
    """
    parser = _parser()
    found = parser.parse_args(argv)
    settings = Settings(
        config_path=found.config,
        listen=found.listen,
        admin=found.admin,
        workers=found.workers,
        log_level=found.log_level,
        log_format=found.log_format,
        shutdown_grace=found.shutdown_grace,
        drain_timeout=found.drain_timeout,
        path_prefix=found.path_prefix,
        check=found.check,
        credentials=found.credentials,
    )
    if problem := _maybe_conflict(settings):
        parser.error(problem)
    return settings


def _parser() -> argparse.ArgumentParser:
    defaults = Settings(config_path="")
    parser = argparse.ArgumentParser(
        prog="python -m extproc",
        description="LLMRoute's external processor: routes and translates LLM traffic for an Envoy beside it.",
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=_HelpFormatter,
    )
    add = parser.add_argument
    add("--config", metavar="PATH", required=True, help="the configuration file (YAML or JSON, plain or gzip); watched")
    add("--credentials", metavar="DIR", default=None, help="where the files are that `auth` names; watched")
    add("--listen", metavar="ADDRESS", type=_listen, default=defaults.listen, help="HOST:PORT or unix:///path for gRPC")
    add(
        "--admin",
        metavar="HOST:PORT",
        type=_host_port,
        default=defaults.admin,
        help="HTTP: /healthz, /readyz, /metrics, /config, /credentials",
    )
    add(
        "--workers",
        metavar="N",
        type=_workers,
        default=defaults.workers,
        help="processes, each with an address of its own",
    )
    add("--log-level", choices=("debug", "info", "warning", "error"), default=defaults.log_level, help="access: info")
    add("--log-format", choices=("text", "json"), default=defaults.log_format, help="access log: stdout; rest: stderr")
    add("--check", action="store_true", help="validate the file, print one finding a line, exit with 0 or 1")
    add(
        "--path-prefix",
        metavar="/PREFIX",
        type=_path_prefix,
        default=None,
        help="serve under this prefix instead of the one in the file",
    )
    add(
        "--shutdown-grace",
        metavar="SECONDS",
        type=_seconds,
        default=defaults.shutdown_grace,
        help="from NOT_SERVING to the closed listener; over two of Envoy's health check intervals",
    )
    add(
        "--drain-timeout",
        metavar="SECONDS",
        type=_seconds,
        default=defaults.drain_timeout,
        help="how long open streams may take to end after that",
    )
    return parser


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """The epilog as it is written, and each default beside its flag."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if action.default in (None, False, argparse.SUPPRESS):
            return text
        return f"{text} (default: %(default)s)"


def _host_port(text: str) -> str:
    try:
        host_port(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _listen(text: str) -> str:
    if not text.startswith(_UNIX):
        return _host_port(text)
    if not text.removeprefix(_UNIX).removeprefix("//").startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} names no absolute path (for example unix:///run/extproc.sock)")
    return text


def _workers(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number between 1 and 256")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds (for example 2.5)")
    return float(text)


def _path_prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a path prefix: segments of letters, digits and ._~- each after a slash (for example /llm)"
        )
    return text


def _maybe_conflict(settings: Settings) -> str | None:
    """What each flag alone cannot show: that the last worker's address exists."""
    last = settings.address(settings.workers - 1)
    if last.startswith(_UNIX):
        path = last.removeprefix(_UNIX).removeprefix("//")
        if len(path.encode()) > _UNIX_PATH_BYTES:
            return f"argument --listen: socket path {path!r} is longer than {_UNIX_PATH_BYTES} bytes; use a shorter one"
        return None
    if int(last.rpartition(":")[2]) > 65535:
        return f"argument --workers: worker {settings.workers - 1} would listen on port {last.rpartition(':')[2]}"
    return None
