"""What is looked at before an address is bound."""

import socket
import stat
from pathlib import Path

import pytest

from extproc.server.address import AddressError, claim, share


def bound(path: Path) -> socket.socket:
    """A socket bound to ``path``."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    return made


@pytest.mark.parametrize("form", ["unix:{}", "unix://{}"])
def test_a_stale_socket_is_removed(tmp_path: Path, form: str) -> None:
    """The file that a dead process left is no obstacle."""
    path = tmp_path / "s"
    bound(path).close()
    claim(form.format(path))

    assert not path.exists()


def test_a_free_path_is_left_alone(tmp_path: Path) -> None:
    """Nothing there means nothing to do."""
    claim(f"unix:{tmp_path / 's'}")

    assert list(tmp_path.iterdir()) == []


def test_a_socket_that_lives_is_not_taken(tmp_path: Path) -> None:
    """Another process's socket is an error and stays."""
    path = tmp_path / "s"
    with bound(path) as other:
        other.listen()
        with pytest.raises(AddressError, match="another process does"):
            claim(f"unix:{path}")

    assert path.exists()


def test_a_file_is_not_removed(tmp_path: Path) -> None:
    """A path that holds something else is an error and stays as it is."""
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(AddressError, match="no socket; remove it"):
        claim(f"unix:{path}")

    assert path.read_text() == "precious"


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """The error says which directory to create."""
    with pytest.raises(AddressError, match=f"no directory {tmp_path}/run"):
        claim(f"unix://{tmp_path}/run/s")


def test_a_taken_port_says_so() -> None:
    """The system's reason is in the error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AddressError, match=f"{address}: Address already in use"):
            claim(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "[::1]", "localhost"])
def test_a_free_port_can_be_claimed_again_and_again(host: str) -> None:
    """Looking leaves nothing behind, in either address family."""
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.create_server((host.strip("[]"), 0), family=family) as free:
        port = free.getsockname()[1]
    for _ in range(3):
        claim(f"{host}:{port}")

    with socket.create_server((host.strip("[]"), port), family=family) as mine:
        assert mine.getsockname()[1] == port


def test_an_unknown_host_says_so() -> None:
    """A name that is no address of this machine is an AddressError like the others."""
    with pytest.raises(AddressError, match=r"cannot listen on 192\.0\.2\.1:5000: Cannot assign"):
        claim("192.0.2.1:5000")


def test_the_group_may_connect(tmp_path: Path) -> None:
    """Owner and group can use the socket, nobody else."""
    path = tmp_path / "s"
    with bound(path):
        share(f"unix://{path}")

        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_port_needs_no_sharing() -> None:
    """Only sockets in the file system have a mode."""
    share("127.0.0.1:1")
