"""Requests to token endpoints: through a proxy, over TLS, and nowhere else."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from extproc.server.credentials.outbound import ask
from extproc.server.credentials.provider import FetchError
from tests.support.token_servers import Answer, TokenServer, token_server


def certificate(folder: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that signs itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.fromtimestamp(time.time(), UTC)
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(hours=1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@contextmanager
def dripping(first: bytes) -> Iterator[str]:
    """The address of a server that answers ``first``, and then one byte after another for ever."""
    closing = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(9999)
            connection.sendall(first)
            while not closing.wait(0.02):
                connection.sendall(b"X")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threads.append(threading.Thread(target=drip, args=(listener.accept()[0],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = [threading.Thread(target=accept)]
        threads[0].start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            closing.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[TokenServer, Path]]:
    """A server that speaks TLS, and the certificate that vouches for it."""
    path = certificate(tmp_path)
    with token_server() as found:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        found.speak_tls(context)
        found.answer = lambda _: Answer(200, b"hello")
        yield found, path


def test_over_tls(tls: tuple[TokenServer, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate of an authority that ``SSL_CERT_FILE`` names is trusted."""
    server, path = tls
    monkeypatch.setenv("SSL_CERT_FILE", str(path))

    assert ask(f"{server.url}/a?b=c").body == b"hello"
    assert server.asked[0].path == "/a?b=c"


def test_a_certificate_of_nobody(tls: tuple[TokenServer, Path]) -> None:
    """A server that cannot prove who it is gets nothing."""
    with pytest.raises(FetchError, match="SSLCertVerificationError"):
        ask(tls[0].url, "POST", b"secret")

    assert tls[0].asked == []


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_https_goes_through_the_proxy(server: TokenServer, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """``HTTPS_PROXY`` is asked for a tunnel, with the name and password that are in it."""
    server.answer = lambda _: Answer(403)
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}me:p%40ss@{server.url.removeprefix('http://')}")

    with pytest.raises(FetchError, match="cannot be reached: OSError"):
        ask("https://login.example/x", "POST", b"secret")

    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("CONNECT", "login.example:443", b"")
    assert asked.headers["proxy-authorization"] == "Basic bWU6cEBzcw=="


def test_no_proxy(tls: tuple[TokenServer, Path], server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``NO_PROXY`` names, and whatever is plain http, is asked directly."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))

    assert ask(tls[0].url).body == b"hello"
    monkeypatch.delenv("NO_PROXY")
    assert ask(server.url).status == 404


def test_a_trickle_is_not_waited_for(server: TokenServer) -> None:
    """A server that sends a byte now and then, each in time, does not get all the time in the world."""
    pause = threading.Event()
    server.trickle = lambda: pause.wait(0.05)

    with pytest.raises(FetchError, match="no answer in"):
        ask(server.url, limit_s=0.3)


@pytest.mark.parametrize(
    ("scheme", "first"),
    [
        ("http", b""),
        ("http", b"HTTP/1.1 200 OK\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n"),
        ("https", b"\x16\x03\x03\x10\x00"),
    ],
    ids=["status", "headers", "body", "counted", "handshake"],
)
def test_a_limit_is_for_the_whole_exchange(scheme: str, first: bytes) -> None:
    """Whichever part a server draws out, its time is over when it is over, and no thread is left."""
    before = threading.active_count()
    with dripping(first) as address:
        started = time.monotonic()
        with pytest.raises(FetchError, match=r"no answer in 0\.3 s"):
            ask(f"{scheme}://{address}/", limit_s=0.3)
        assert time.monotonic() - started < 3

    assert threading.active_count() <= before
