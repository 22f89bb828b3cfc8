"""Options that several commands have."""

import re

import click

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")


def _prefix(_: click.Context, __: click.Parameter, value: str) -> str:
    prefix = value.rstrip("/")
    if not _PREFIX.fullmatch(prefix):
        raise click.BadParameter("must be segments of letters, digits and ._~- with a slash before each, as in /llm")
    return prefix


path_prefix = click.option(
    "--path-prefix", default="", metavar="/PREFIX", callback=_prefix, help="Serve under /PREFIX/v1 instead of /v1."
)
