"""Which files a Secret of ours is to hold."""

from dataclasses import replace

import pytest

from controller.api.findings import Subject
from controller.operator.published import BUDGET_BYTES
from controller.operator.secret_packing import HeldSecret, maybe_held, secret, size_of
from controller.operator.secret_plan import Moment, SecretPlan, SecretState, Wanted, owners_of, plan_secret
from controller.operator.settings import Settings
from controller.translate.secrets import SecretFiles
from extproc.config.auth import ApiKeyAuth, Auth, ClientAuth, ClientKeys, NoAuth
from extproc.config.schema import Backend, Config, OutputSchema, Rule

SETTINGS = Settings(namespace="gw", identity="op-0", removal_s=100, linger_s=5)
NOW = Moment(revision=3, written=3, served=None, now_s=10)


def holding(**files: bytes) -> SecretState:
    """A Secret that holds these, all of them ours."""
    held = HeldSecret(7, SecretFiles(files))
    return SecretState(held, SecretFiles(files))


def planned(
    state: SecretState, moment: Moment = NOW, named: str = "", *, doubted: str = "", **files: bytes
) -> SecretPlan:
    """A plan for these files; ``named``: what else the configuration speaks of, letter by letter."""
    return plan_secret(state, Wanted(SecretFiles(files), files.keys() | set(named), set(doubted)), SETTINGS, moment)


def test_nothing_to_hold_is_a_secret_all_the_same() -> None:
    """A volume of a Secret that comes later would take a kubelet a minute."""
    assert planned(SecretState()).needed
    assert not planned(holding()).needed


def test_equal_files_are_written_once() -> None:
    """What others have added is taken away."""
    state = holding(a=b"1")
    with_theirs = HeldSecret(8, SecretFiles({"a": b"1", "theirs": b"2"}))

    assert planned(SecretState(), a=b"1").needed
    assert not planned(state, a=b"1").needed
    assert planned(replace(state, held=with_theirs), a=b"1").needed
    assert planned(state, a=b"2").needed


@pytest.mark.parametrize("made", [HeldSecret(8, SecretFiles({"a": b"x"})), None])
def test_what_somebody_edited_or_deleted_is_put_back(made: HeldSecret | None) -> None:
    """To what it was before."""
    assert planned(replace(holding(a=b"1"), held=made), a=b"1").needed


def test_a_deleted_key_goes_at_once() -> None:
    """The configuration still speaks of the file, so its Secret was deleted: it is to be out of use."""
    plan = planned(holding(a=b"1", b=b"2"), named="b", a=b"1")

    assert (dict(plan.files), plan.ceased, plan.needed) == ({"a": b"1"}, {}, True)


def test_a_key_that_nobody_can_tell_of_stays() -> None:
    """While the API server fails to tell of it, a file may well be there; of the others it has told."""
    plan = planned(holding(a=b"1", b=b"2", c=b"3"), named="bc", doubted="b", a=b"1")

    assert (dict(plan.files), plan.ceased, plan.needed) == ({"a": b"1", "b": b"2"}, {}, True)


def test_a_file_of_a_former_configuration_stays_until_nobody_uses_it() -> None:
    """And some seconds longer; at the latest it leaves after the longest time."""
    state = holding(a=b"1", b=b"2")
    first = planned(state, a=b"1")
    state = replace(state, ceased=first.ceased)
    assert dict(first.files) == {"a": b"1", "b": b"2"}
    assert "b" in planned(state, replace(NOW, now_s=109), a=b"1").files
    assert "b" not in planned(state, replace(NOW, now_s=110), a=b"1").files

    heard = planned(state, replace(NOW, now_s=20, served=3), a=b"1")
    state = replace(state, ceased=heard.ceased)
    assert "b" in planned(state, replace(NOW, now_s=24), a=b"1").files
    assert "b" not in planned(state, replace(NOW, now_s=25), a=b"1").files


def test_a_configuration_that_was_never_written_removes_nothing() -> None:
    """The one that is in force goes on needing its files, however long that takes."""
    state = holding(a=b"1", b=b"2")
    unwritten = Moment(revision=4, written=3, served=None, now_s=10)
    state = replace(state, ceased=planned(state, unwritten, a=b"1").ceased)

    assert "b" in planned(state, replace(unwritten, now_s=1000), a=b"1").files


def test_a_file_that_is_wanted_again_has_not_ceased() -> None:
    """Its time begins anew when it is not wanted once more."""
    state = holding(a=b"1", b=b"2")
    state = replace(state, ceased=planned(state, a=b"1").ceased)

    assert planned(state, a=b"1", b=b"3").ceased == {}


def test_what_does_not_fit_is_left_out_and_hurts_nobody() -> None:
    """What is there stays, a larger value than there is room for leaves the former one."""
    half = bytes(BUDGET_BYTES // 2)
    state = holding(b=half, c=b"old")

    plan = planned(state, a=half, b=half, c=bytes(BUDGET_BYTES // 2 + 1))

    assert dict(plan.files) == {"b": half, "c": b"old"}
    assert plan.left_out == {"a", "c"}
    assert not plan.needed


def test_what_fits_beside_it_comes_all_the_same() -> None:
    """One file that is too large is no concern of the small ones."""
    plan = planned(holding(), a=bytes(BUDGET_BYTES + 1), b=b"1")

    assert dict(plan.files) == {"b": b"1"}
    assert plan.left_out == {"a"}


def test_what_lingers_makes_room() -> None:
    """What is wanted goes first."""
    half = bytes(BUDGET_BYTES // 2 - 2)

    assert set(planned(holding(a=half, b=half), a=half, c=half).files) == {"a", "c"}


def test_whose_a_file_is() -> None:
    """Backends' by their names, callers' by where their rules come from."""
    keyed = Backend(
        name="team-a/openai", output_schema=OutputSchema(schema_="OpenAI"), auth=Auth(api_key=ApiKeyAuth(file="f"))
    )
    others = [keyed.model_copy(update={"name": f"a/{n}", "auth": auth}) for n, auth in (("x", None), ("y", _nothing()))]
    door = ClientAuth(api_keys=ClientKeys(file="callers"))
    config = Config(backends=(keyed, *others), rules=(Rule(source="team-a/chat@7#rules[1]", client_auth=door),))

    assert owners_of(config) == {
        "f": Subject("LLMBackend", "team-a", "openai"),
        "callers": Subject("LLMRoute", "team-a", "chat"),
    }


def _nothing() -> Auth:
    return Auth(none=NoAuth())


def test_a_secret_and_back() -> None:
    """All its keys count, whoever put them there and whatever the server notes of that."""
    body = secret("s", "gw", SecretFiles({"a": b"\xff"}), 3, None)
    stored = {**body, "metadata": {**body["metadata"], "resourceVersion": "12"}, "data": {**body["data"], "b": ""}}

    assert maybe_held(stored) == HeldSecret(12, SecretFiles({"a": b"\xff", "b": b""}))
    assert maybe_held(None) is None
    assert maybe_held({"metadata": {"resourceVersion": "1"}}) == HeldSecret(1, SecretFiles())


def test_names_take_room_twice() -> None:
    """The server keeps them once more, in what it notes about who wrote what."""
    assert size_of({"ab": b"123"}) == 7
    assert planned(holding(), a=bytes(BUDGET_BYTES - 2)).left_out == set()
    assert planned(holding(), a=bytes(BUDGET_BYTES - 1)).left_out == {"a"}


def test_nothing_of_a_value_is_in_the_metadata() -> None:
    """Not even a digest: of a short value that would tell it."""
    of = {value: secret("s", "gw", SecretFiles({"a": value}), 3, None)["metadata"] for value in (b"1", b"22")}

    assert of[b"1"] == of[b"22"]
    assert "mArKeR" not in repr(holding(a=b"mArKeR")) + repr(planned(holding(), a=b"mArKeR"))
