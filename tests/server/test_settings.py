"""The command line: what it accepts, what it refuses, and the addresses it makes."""

import pytest

from extproc.server.settings import Settings, host_port, parse_settings


def test_defaults_are_those_of_the_design() -> None:
    """Only the configuration's path must be given."""
    settings = parse_settings(["--config", "c.yaml"])

    assert settings == Settings(
        config_path="c.yaml",
        listen="0.0.0.0:1063",
        admin="0.0.0.0:1060",
        workers=1,
        log_level="info",
        log_format="json",
        shutdown_grace=2.5,
        drain_timeout=30.0,
        path_prefix=None,
        check=False,
        credentials=None,
    )


def test_every_flag_arrives() -> None:
    """Each flag sets its own field."""
    flags = "--listen [::]:99 --admin 127.0.0.1:98 --workers 3 --log-level debug --log-format text --check"
    flags += " --credentials /etc/c --path-prefix /llm/v2 --shutdown-grace 0 --drain-timeout 1.25"

    settings = parse_settings(["--config", "c.yaml", *flags.split()])

    assert settings == Settings(
        "c.yaml", "[::]:99", "127.0.0.1:98", 3, "debug", "text", 0.0, 1.25, "/llm/v2", check=True, credentials="/etc/c"
    )


@pytest.mark.parametrize(
    ("listen", "addresses"),
    [
        ("0.0.0.0:1063", ["0.0.0.0:1063", "0.0.0.0:1064", "0.0.0.0:1065"]),
        ("[::1]:1063", ["[::1]:1063", "[::1]:1064", "[::1]:1065"]),
        ("localhost:65533", ["localhost:65533", "localhost:65534", "localhost:65535"]),
        ("unix:///run/x.sock", ["unix:///run/x.sock.0", "unix:///run/x.sock.1", "unix:///run/x.sock.2"]),
        ("unix:/run/x.sock", ["unix:/run/x.sock.0", "unix:/run/x.sock.1", "unix:/run/x.sock.2"]),
    ],
)
def test_every_worker_has_an_address_of_its_own(listen: str, addresses: list[str]) -> None:
    """Ports are counted up, socket paths are numbered from 0."""
    settings = parse_settings(["--config", "c", "--listen", listen, "--workers", "3"])

    assert addresses == [settings.address(i) for i in range(3)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "--config"),
        ("--config c --listen 1063", "--listen: '1063' is not HOST:PORT"),
        ("--config c --listen :1063", "--listen: ':1063' is not HOST:PORT"),
        ("--config c --listen ::1:1063", "--listen: '::1:1063' is not HOST:PORT"),
        ("--config c --listen a:0", "--listen: port 0 in 'a:0' is not between 1 and 65535"),
        ("--config c --listen a:65536", "--listen: port 65536"),
        ("--config c --listen unix:x.sock", "--listen: 'unix:x.sock' names no absolute path"),
        ("--config c --listen unix://x.sock", "--listen: 'unix://x.sock' names no absolute path"),
        (f"--config c --listen unix:///{'x' * 105}", "--listen: socket path"),
        ("--config c --admin unix:///x", "--admin: 'unix:///x' is not HOST:PORT"),
        ("--config c --workers 0", "--workers: '0' is not a whole number between 1 and 256"),
        ("--config c --workers 257", "--workers: '257'"),
        ("--config c --workers 1.5", "--workers: '1.5'"),
        ("--config c --workers=-1", "--workers: '-1'"),
        ("--config c --listen a:65535 --workers 2", "--workers: worker 1 would listen on port 65536"),
        ("--config c --log-level loud", "--log-level: invalid choice: 'loud'"),
        ("--config c --log-format xml", "--log-format: invalid choice: 'xml'"),
        ("--config c --path-prefix llm", "--path-prefix: 'llm' is not a path prefix"),
        ("--config c --path-prefix /llm/", "--path-prefix: '/llm/' is not a path prefix"),
        ("--config c --shutdown-grace=-1", "--shutdown-grace: '-1' is not a number of seconds"),
        ("--config c --drain-timeout nan", "--drain-timeout: 'nan' is not a number of seconds"),
        ("--config c --drain-timeout inf", "--drain-timeout: 'inf' is not a number of seconds"),
        ("--conf c", "--config"),
        ("--config c --nonsense", "--nonsense"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 2, and the message names the flag, the value and what is right."""
    with pytest.raises(SystemExit) as exit_:
        parse_settings(arguments.split())

    assert exit_.value.code == 2
    assert words in capsys.readouterr().err


def test_help_shows_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    """Each flag that has a default tells it."""
    with pytest.raises(SystemExit) as exit_:
        parse_settings(["--help"])

    text = " ".join(capsys.readouterr().out.split())
    assert exit_.value.code == 0
    for default in ("0.0.0.0:1063", "0.0.0.0:1060", "info", "json", "2.5", "30.0"):
        assert f"(default: {default})" in text
    assert "(default: None)" not in text


def test_host_port_keeps_the_brackets() -> None:
    """An IPv6 host stays as gRPC wants it."""
    assert host_port("[::1]:80") == ("[::1]", 80)
