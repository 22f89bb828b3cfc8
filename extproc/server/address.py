"""Addresses to listen on: ``host:port`` or ``unix:path``, in gRPC's spelling.

gRPC removes whatever socket file it finds and says little about why it could not bind, so both are looked at first.
"""

import os
import socket
import stat
from pathlib import Path
from typing import Final

from extproc.server.settings import host_port

_UNIX: Final = "unix:"
#: Owner and group may connect: a sidecar's Envoy runs as another user and shares the volume's group (fsGroup).
_SOCKET_MODE: Final = 0o660


class AddressError(Exception):
    """An address that cannot be listened on; the text says why."""


def claim(address: str) -> None:
    """Make sure that ``address`` can be bound, and remove the socket file that a dead process left there.

    Raises ``AddressError``.
    """
    path = maybe_path(address)
    try:
        if path is None:
            _probe(*host_port(address))
        else:
            _remove_stale(path)
    except OSError as error:
        raise AddressError(f"cannot listen on {address}: {error.strerror or error}") from None


def share(address: str) -> None:
    """Let the group of a Unix socket connect, once it is bound."""
    path = maybe_path(address)
    if path is not None:
        path.chmod(_SOCKET_MODE)


def maybe_path(address: str) -> Path | None:
    """The path of a Unix socket's address, None for a port's."""
    return Path(address.removeprefix(_UNIX).removeprefix("//")) if address.startswith(_UNIX) else None


def _probe(host: str, port: int) -> None:
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, bound = found[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As gRPC does: connections of a predecessor that still linger are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(bound)
        probe.listen(1)


def _remove_stale(path: Path) -> None:
    if not path.parent.is_dir():
        raise AddressError(f"cannot listen on {path}: there is no directory {path.parent}; create or mount it")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise AddressError(f"cannot listen on {path}: directory {path.parent} is not writable")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise AddressError(f"cannot listen on {path}: there is a file that is no socket; remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise AddressError(f"cannot listen on {path}: another process does")
