"""What is written to the two Secrets, when, and what is said when that cannot be."""

import base64
from dataclasses import replace
from typing import Any

import pytest

from controller.api.findings import Subject
from controller.api.reasons import ConditionType, Reason
from controller.operator.conditions import settled
from controller.operator.failures import (
    Busy,
    ClusterError,
    Conflict,
    Denied,
    Faulty,
    Rejected,
    Unauthorized,
    Unreachable,
)
from controller.operator.packing import PROCESSOR_KEY, values_of
from controller.operator.published import BUDGET_BYTES, Published
from controller.operator.publisher import Publisher
from controller.operator.settings import Settings
from controller.translate import Snapshot, Translation, translate
from controller.translate.secrets import SecretFiles, SecretStore
from controller.translate.settings import GatewaySettings
from extproc.config.loader import load
from tests.support.config_maps import ConfigMaps
from tests.support.gateway import backend, route, rule

SETTINGS = Settings(namespace="gw", identity="op-0", removal_s=100, linger_s=5)
PROCESSOR, ENVOY = SETTINGS.extproc_config_map, SETTINGS.envoy_config_map
CREDENTIALS, CERTIFICATES = SETTINGS.credentials, SETTINGS.envoy_secrets
_NO_RIGHT = '403 secrets "llmroute-credentials" is forbidden: User "op" cannot patch resource "secrets"'


def meaning(certificates: dict[str, bytes] | None = None, **keys: str | None) -> Translation:
    """A backend for each of these keys, and a route to it; None: its Secret does not exist."""
    rules = [rule(name, name) for name in keys]
    backends = [backend(name, 1, auth={"apiKey": {"secretRef": {"name": name}}}) for name in keys]
    data = {("Secret", "default", name): {"apiKey": key.encode()} for name, key in keys.items() if key is not None}
    snapshot = Snapshot.of([route(*rules), *backends])
    found = translate(Snapshot(snapshot.routes, snapshot.backends, secrets=SecretStore(data)))
    return _with(found, SecretFiles(certificates or {}))


def _with(translation: Translation, certificates: SecretFiles) -> Translation:
    owners = {file: Subject("LLMBackend", *file.split(".")[:2]) for file in certificates}
    return replace(translation, envoy_secrets=certificates, file_owners={**translation.file_owners, **owners})


class Stand:
    """A publisher with its objects, a clock that stands and a fleet that answers as it is told."""

    def __init__(self, objects: ConfigMaps | None = None) -> None:
        self.objects = objects or ConfigMaps()
        self.now = 0.0
        self.served: int | None = None
        self.publisher = Publisher(self.objects, SETTINGS, lambda: self.served, lambda: self.now)

    def files(self, name: str = CREDENTIALS) -> dict[str, bytes]:
        """What a Secret holds, by backend."""
        data = self.objects.held[name]["data"]
        return {key.split(".")[1]: base64.b64decode(value) for key, value in data.items()}


async def taken_over(objects: ConfigMaps | None = None) -> Stand:
    """A leader that has looked around."""
    stand = Stand(objects)
    await stand.publisher.take_over()
    return stand


def programmed(published: Published, name: str) -> tuple[str, Reason]:
    """What a backend's condition says of the ConfigMaps and Secrets."""
    [status] = [one for one in published.translation.statuses if one.subject == Subject("LLMBackend", "default", name)]
    conditions = {condition.type: condition for condition in settled(status, published).conditions}
    return conditions[ConditionType.PROGRAMMED].status, conditions[ConditionType.PROGRAMMED].reason


async def test_secrets_are_written_before_what_speaks_of_them() -> None:
    """Both of them, also with nothing to hold: a volume of a Secret that comes later takes a minute."""
    objects = ConfigMaps()
    objects.held.clear()
    stand = await taken_over(objects)

    published = await stand.publisher.publish(meaning())

    assert objects.applied == [CERTIFICATES, CREDENTIALS, ENVOY, PROCESSOR]
    assert published.written == (CERTIFICATES, CREDENTIALS, ENVOY, PROCESSOR)
    assert objects.held[CREDENTIALS]["data"] == {}
    assert "resourceVersion" in objects.held[CREDENTIALS]["metadata"]
    assert stand.publisher.secrets.versions == (objects.version(CREDENTIALS), objects.version(CERTIFICATES))


async def test_a_rotated_key_is_one_write() -> None:
    """No ConfigMap, no other Secret, and no new revision; equal ones are none, after a restart too."""
    stand = await taken_over()
    before = await stand.publisher.publish(meaning(a="one"))
    rotated = await stand.publisher.publish(meaning(a="two"))
    again = await (await taken_over(stand.objects)).publisher.publish(meaning(a="two"))

    assert rotated.written == (CREDENTIALS,)
    assert (rotated.revision, rotated.parts) == (before.revision, before.parts)
    assert stand.files() == {"a": b"two"}
    assert again.written == ()
    assert "two" not in repr(rotated)


async def test_a_deleted_key_is_taken_away_at_once() -> None:
    """The backend stays in the configuration, so that its traffic goes nowhere else."""
    stand = await taken_over()
    await stand.publisher.publish(meaning(a="one", b="one"))
    published = await stand.publisher.publish(meaning(a="one", b=None))

    assert published.written == (CREDENTIALS,)
    assert stand.files() == {"a": b"one"}


async def test_a_key_that_nobody_has_told_of_stays_and_no_other_does() -> None:
    """One Secret that the API server fails to read is no reason to go on with another that was deleted."""
    stand = await taken_over()
    await stand.publisher.publish(meaning(a="one", b="two", unreadable="three"))
    unsure = [Subject("LLMBackend", "default", "unreadable")]
    published = await stand.publisher.publish(meaning(a="one", b=None, unreadable=None), unsure)

    assert published.written == (CREDENTIALS,)
    assert stand.files() == {"a": b"one", "unreadable": b"three"}


async def test_a_removed_backend_keeps_its_file_for_as_long_as_it_is_used() -> None:
    """As Envoy keeps its route: until every processor serves a later revision, and some seconds more."""
    stand = await taken_over()
    await stand.publisher.publish(meaning(a="one", b="one"))
    stand.now = 10
    await stand.publisher.publish(meaning(a="one"))
    assert set(stand.files()) == {"a", "b"}
    assert stand.publisher.removal_in() == 100
    stand.served = 2
    await stand.publisher.publish(meaning(a="one"))
    assert stand.publisher.removal_in() == 5
    stand.now = 15
    published = await stand.publisher.publish(meaning(a="one"))
    assert published.written == (CREDENTIALS, ENVOY)
    assert set(stand.files()) == {"a"}
    assert stand.publisher.removal_in() is None


@pytest.mark.parametrize("is_restored", [False, True])
async def test_a_restart_takes_away_whatever_is_not_wanted(*, is_restored: bool) -> None:
    """The Secret is wholly ours: strangers' keys go, and so do ours when a restore has lost the server's notes."""
    stand = await taken_over()
    await stand.publisher.publish(meaning(a="one", b="one"))
    held = stand.objects.held[CREDENTIALS]
    metadata = {} if is_restored else held["metadata"]
    data = {**held["data"], "x.theirs.1": "dGhlaXJz"}
    stand.objects.put(CREDENTIALS, {**held, "metadata": metadata, "data": data})
    stand = await taken_over(stand.objects)
    await stand.publisher.publish(meaning(a="one"))
    stand.now = 100
    await stand.publisher.publish(meaning(a="one"))

    assert set(stand.files()) == {"a"}
    stand.now = 300
    assert (await stand.publisher.publish(meaning(a="one"))).written == ()


async def test_a_key_that_somebody_adds_is_taken_away() -> None:
    """At the next event, by one write more than ours."""
    stand = await taken_over()
    await stand.publisher.publish(meaning(a="one"))
    held = stand.objects.held[CREDENTIALS]
    edited = stand.objects.put(CREDENTIALS, {**held, "data": {**held["data"], "x.theirs.1": "dGhlaXJz"}})
    assert stand.publisher.secrets.saw(CREDENTIALS, edited)

    assert (await stand.publisher.publish(meaning(a="one"))).written == (CREDENTIALS,)
    assert stand.files() == {"a": b"one"}
    assert (await stand.publisher.publish(meaning(a="one"))).written == ()


async def test_envoys_files_stay_longer_than_what_names_them() -> None:
    """Nobody can ask Envoy, whatever the processors say."""
    stand = await taken_over()
    await stand.publisher.publish(meaning({"default.a.12345678": b"pem"}, a="one"))
    assert stand.files(CERTIFICATES) == {"a": b"pem"}
    stand.served = 9
    await stand.publisher.publish(meaning(a="one"))
    stand.now = 199
    await stand.publisher.publish(meaning(a="one"))
    assert stand.files(CERTIFICATES) == {"a": b"pem"}
    stand.now = 200
    await stand.publisher.publish(meaning(a="one"))
    assert stand.files(CERTIFICATES) == {}


@pytest.mark.parametrize("deed", ["edited", "emptied", "deleted"])
async def test_what_somebody_did_to_a_secret_is_seen_and_put_back(deed: str) -> None:
    """An event that tells our own write is no news; one that tells another's is."""
    stand = await taken_over()
    await stand.publisher.publish(meaning(a="one"))
    held = stand.objects.held[CREDENTIALS]
    assert not stand.publisher.secrets.saw(CREDENTIALS, held)
    if deed == "deleted":
        del stand.objects.held[CREDENTIALS]
        assert stand.publisher.secrets.saw(CREDENTIALS, None)
    else:
        data = dict.fromkeys(held["data"], "YmFk") if deed == "edited" else {}
        assert stand.publisher.secrets.saw(CREDENTIALS, stand.objects.put(CREDENTIALS, {**held, "data": data}))

    assert (await stand.publisher.publish(meaning(a="one"))).written == (CREDENTIALS,)
    assert stand.files() == {"a": b"one"}
    assert not stand.publisher.secrets.saw(CREDENTIALS, held)


async def test_another_leaders_write_is_a_conflict() -> None:
    """After a look the newer state is what counts."""
    stand = await taken_over()
    await stand.publisher.publish(meaning(a="one"))
    await (await taken_over(stand.objects)).publisher.publish(meaning(a="two"))

    with pytest.raises(Conflict):
        await stand.publisher.publish(meaning(a="three"))
    await stand.publisher.refresh()
    await stand.publisher.publish(meaning(a="three"))
    assert stand.files() == {"a": b"three"}


async def test_a_server_that_is_away_stops_the_pass() -> None:
    """Nothing that speaks of a file goes out before the file."""
    stand = await taken_over()
    stand.objects.secret_faults.append(Unreachable("no answer"))

    with pytest.raises(Unreachable):
        await stand.publisher.publish(meaning(a="one"))

    assert stand.objects.applied == []
    assert stand.publisher.idle.is_set()


@pytest.mark.parametrize(
    "refusal",
    [
        Denied(_NO_RIGHT),
        Rejected("422 field is immutable when `immutable` is set"),
        Faulty("500 failed calling webhook"),
        Faulty("no answer to PATCH /api in 3 s"),
    ],
)
async def test_a_refusal_costs_the_credentials_and_nothing_else(refusal: ClusterError) -> None:
    """The others are served, the backend's status says why it is not, and it is tried again."""
    stand = await taken_over()
    await stand.publisher.publish(meaning(a="one"))
    stand.objects.secret_faults.append(refusal)

    published = await stand.publisher.publish(meaning(a="one", b="one"))

    assert published.problem is None
    assert published.written == (ENVOY, PROCESSOR)
    assert load(values_of(stand.objects.held[PROCESSOR])[PROCESSOR_KEY]).revision == published.revision == 2
    assert programmed(published, "a")[0] == "True"
    assert programmed(published, "b") == ("False", Reason.CONFIG_NOT_WRITTEN)
    assert stand.publisher.secrets.is_refused
    mended = await stand.publisher.publish(meaning(a="one", b="one"))
    assert (mended.written, mended.unheld, stand.publisher.secrets.is_refused) == ((CREDENTIALS,), {}, False)


async def test_without_the_right_to_read_it_is_not_written() -> None:
    """Nobody knows what is there; the right is taken up when it comes."""
    objects = ConfigMaps()
    objects.secret_reads = [None, Denied(_NO_RIGHT), Faulty("500 cannot decrypt")]
    stand = await taken_over(objects)

    published = await stand.publisher.publish(meaning(a="one"))
    assert programmed(published, "a") == ("False", Reason.CONFIG_NOT_WRITTEN)
    objects.secret_reads.clear()
    assert (await stand.publisher.publish(meaning(a="one"))).written == (CREDENTIALS,)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Denied(_NO_RIGHT), "cannot patch resource"),
        (Denied('403 mArKeR is forbidden: User "x"'), "403 of the API server, whose words"),
        (Faulty('500 failed calling webhook "x": cannot store mArKeR'), "500 of the API server, whose words"),
        (Faulty("no answer to PATCH /api in 3 s"), "no answer to PATCH /api in 3 s"),
        (Denied('403 admission webhook "x" denied the request: {"a": "mArKeR"}'), "403 of the API server, whose words"),
        (Rejected("422 mArKeR"), "422 of the API server, whose words are not repeated"),
    ],
)
async def test_a_webhooks_words_are_not_repeated(
    refusal: ClusterError, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It was shown the whole Secret, and may well quote it."""
    stand = await taken_over()
    stand.objects.secret_faults += [refusal, refusal]

    await stand.publisher.publish(meaning(a="mArKeR"))
    published = await stand.publisher.publish(meaning(a="mArKeR"))

    [finding] = published.unheld.values()
    assert words in finding.message
    assert len([record for record in caplog.records if words in record.getMessage()]) == 1
    assert "mArKeR" not in f"{published.unheld} {caplog.text}"


@pytest.mark.parametrize("failure", [Busy("429 mArKeR", 7.0), Unauthorized("401 mArKeR"), Conflict("409 mArKeR")])
async def test_a_webhooks_words_are_not_in_a_failure_either(failure: ClusterError) -> None:
    """It may answer with any status."""
    stand = await taken_over()
    stand.objects.secret_faults.append(failure)

    with pytest.raises(type(failure)) as raised:
        await stand.publisher.publish(meaning(a="mArKeR"))

    assert "mArKeR" not in str(raised.value)
    assert raised.value.retry_after_s == failure.retry_after_s


async def test_a_conflict_with_nobody_is_a_refusal() -> None:
    """A webhook that says so for ever does not hold up the ConfigMaps."""
    stand = await taken_over()
    stand.objects.secret_faults += [Conflict("409 no"), Conflict("409 no")]
    with pytest.raises(Conflict):
        await stand.publisher.publish(meaning(a="one"))
    await stand.publisher.refresh()

    assert programmed(await stand.publisher.publish(meaning(a="one")), "a") == ("False", Reason.CONFIG_NOT_WRITTEN)


async def test_what_does_not_fit_is_said_by_those_it_is_about() -> None:
    """The others have their credentials, and the configuration is written."""
    stand = await taken_over()
    await stand.publisher.publish(meaning(old="one"))
    many: dict[str, Any] = {f"new-{i:02}": chr(97 + i % 26) * 16_000 for i in range(80)}

    published = await stand.publisher.publish(meaning(old="two", **many))

    left_out = [name for name in many if programmed(published, name) == ("False", Reason.CONFIG_TOO_LARGE)]
    assert left_out == sorted(many)[BUDGET_BYTES // 16_100 :]
    assert programmed(published, "old") == ("True", Reason.PROGRAMMED)
    assert stand.files()["old"] == b"two"
    assert published.problem is None
    assert "more than the 1,048,576 that Secret llmroute-credentials may hold" in str(
        next(iter(published.unheld.values()))
    )


async def test_a_certificate_that_does_not_fit_is_said_by_its_backend() -> None:
    """The translation tells whose a file is."""
    stand = await taken_over()
    files: dict[str, Any] = {"default.a.12345678": bytes(BUDGET_BYTES + 1), "default.b.12345678": b"pem"}

    published = await stand.publisher.publish(meaning(files, a="one", b="one"))

    assert programmed(published, "a") == ("False", Reason.CONFIG_TOO_LARGE)
    assert programmed(published, "b") == ("True", Reason.PROGRAMMED)


async def test_secrets_follow_also_while_the_configuration_is_refused() -> None:
    """What is in force goes on needing its keys, the rotated ones too, and loses none."""
    stand = await taken_over()
    await stand.publisher.publish(meaning(a="one", gone="one"))
    names: dict[str, Any] = {f"b{i}": None for i in range(1200)}

    published = await stand.publisher.publish(meaning(a="two", **names))
    stand.now = 1000
    await stand.publisher.publish(meaning(a="two", **names))

    assert published.problem is not None
    assert published.written == (CREDENTIALS,)
    assert stand.files() == {"a": b"two", "gone": b"one"}


async def test_without_an_envoy_of_ours_there_is_one_secret() -> None:
    """Another gateway's Envoy mounts nothing of ours."""
    objects = ConfigMaps()
    objects.held.clear()
    gateway = GatewaySettings(controller="gw", service="llmroute-extproc", namespace="gw")
    settings = replace(SETTINGS, translate=replace(SETTINGS.translate, gateway=gateway))
    publisher = Publisher(objects, settings, lambda: None, lambda: 0.0)
    await publisher.take_over()

    published = await publisher.publish(meaning({"default.a.12345678": b"pem"}, a="one"))

    assert publisher.secrets.names == (CREDENTIALS,)
    assert published.written == (CREDENTIALS, PROCESSOR)
