import gzip
import hashlib
import json
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings

from extproc.config.loader import PACK_ABOVE, content_hash, dump, load, pack
from extproc.config.schema import Config, Match, Rule
from tests.support.config_shapes import configs

#: Whole configurations are large for hypothesis, and the machine may be busy.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(configs())
def test_what_is_dumped_loads_equal(config: Config) -> None:
    """A configuration survives the file, plain and packed, and its bytes depend on nothing else."""
    data = dump(config)

    assert load(data) == config
    assert load(gzip.compress(data)) == config
    assert dump(load(data)) == data


@patient
@given(configs())
def test_dumped_json_is_compact_and_leaves_defaults_out(config: Config) -> None:
    """The dump is one line of UTF-8 JSON without spaces, version first, and no field at its default."""
    data = dump(config)
    value = json.loads(data)

    assert data == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    assert next(iter(value)) == "version"
    assert ("pathPrefix" in value) == (config.path_prefix != "")


def test_an_empty_configuration_is_its_version() -> None:
    """Nothing but the version is written when all else is default."""
    assert dump(Config()) == b'{"version":2}'


def test_an_empty_old_form_is_kept_apart_from_none() -> None:
    """``headers: []`` and no headers mean the same, but a dump says what was there."""
    assert dump(Config(rules=(Rule(headers=()), Rule(), Rule(matches=(Match(),))))) == (
        b'{"version":2,"rules":[{"headers":[]},{},{"matches":[{}]}]}'
    )


def test_small_files_are_not_packed() -> None:
    """Up to 512 KiB people can read the ConfigMap."""
    data = b"x" * PACK_ABOVE

    assert pack(data) == data


def test_large_files_are_packed_alike_each_time() -> None:
    """Above 512 KiB it is gzip, without a time in it, so equal data gives equal bytes."""
    data = Random(7).randbytes(1000) * (PACK_ABOVE // 1000 + 1)
    packed = pack(data)

    assert gzip.decompress(packed) == data
    assert len(packed) < len(data) // 20
    assert packed[4:8] == b"\0\0\0\0"
    assert pack(data) == packed


@pytest.mark.parametrize("data", [b"", b"a"])
def test_the_content_hash_is_the_start_of_sha256(data: bytes) -> None:
    """16 digits name the bytes, on every machine the same."""
    assert content_hash(data) == hashlib.sha256(data).hexdigest()[:16]
