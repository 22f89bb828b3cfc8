"""What is written for processors of the release before: never a configuration that would be taken to say less."""

from typing import Any

from controller.api.reasons import Reason
from controller.translate import Settings, Snapshot, Translation, translate
from extproc.config.loader import dump, load
from extproc.config.names import OLDEST_VERSION, VERSION
from tests.support.api_objects import backend, route, rule

KEY = {"apiKey": {"secretRef": {"name": "key"}}}


def meaning(version: int, *objects: dict[str, Any]) -> Translation:
    return translate(Snapshot.of(objects, Settings(config_version=version)))


def shown(name: str = "openai") -> dict[str, Any]:
    """A backend that is shown a key."""
    made = backend(name)
    return {**made, "spec": {**made["spec"], "auth": KEY}}


def test_the_file_says_its_version() -> None:
    """A processor of the release before reads it to its end."""
    for version in (OLDEST_VERSION, VERSION):
        assert load(dump(meaning(version, route(rule("a", "openai")), backend()).config)).version == version


def test_a_credential_that_cannot_be_told_is_not_left_out() -> None:
    """Left out, the client's own key would go on; so the backend is not served, and its status says for how long."""
    older = meaning(OLDEST_VERSION, route(rule("a", "openai")), shown())
    newer = meaning(VERSION, route(rule("a", "openai")), shown())

    assert older.config.backends == ()
    assert [one.refusal for one in older.config.rules] == ['none of its backends can be used: "openai"']
    assert Reason.PROCESSOR_TOO_OLD in {finding.reason for finding in older.findings}
    assert newer.config.rules[0].backends != ()
    assert Reason.PROCESSOR_TOO_OLD not in {finding.reason for finding in newer.findings}


def test_a_door_that_cannot_be_told_stays_shut() -> None:
    """Left out, everybody would get in."""
    guarded = route(rule("a", "openai"))
    guarded["spec"]["clientAuth"] = {"apiKeys": {"secretRef": {"name": "callers"}}}
    older = meaning(OLDEST_VERSION, guarded, backend())

    assert all(one.refusal is not None and one.client_auth is None for one in older.config.rules)
    assert Reason.PROCESSOR_TOO_OLD in {finding.reason for finding in older.findings}


def test_others_go_on() -> None:
    """One that asks for something new takes no other along."""
    older = meaning(OLDEST_VERSION, route(rule("a", "new"), rule("b", "openai")), shown("new"), backend())

    assert [one.refusal is None for one in older.config.rules] == [False, True]
    assert [one.name for one in older.config.backends] == ["team-a/openai"]
