"""The two Secrets that pods mount as files: the processor's credentials, and what our Envoy shows to upstreams."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from controller.api.findings import Finding, Subject
from controller.operator.file_secret import FileSecret, Outcome, Secrets
from controller.operator.packing import Object
from controller.operator.secret_plan import Moment, Wanted, owners_of
from controller.operator.settings import Settings
from controller.translate import Translation


@dataclass(frozen=True, slots=True)
class Filed:
    """What became of the files of a translation.

    Attributes:
        written: the names of the Secrets that were written.
        unheld: the objects whose files are not there as they should be, each with the reason why.
        sizes: bytes in each Secret, by name.
    """

    written: tuple[str, ...] = ()
    unheld: Mapping[Subject, Finding] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)


class SecretVolumes:
    """Each for itself: what is wrong with one is no concern of the other. Without an Envoy of ours there is one."""

    def __init__(self, secrets: Secrets, settings: Settings) -> None:
        self._settings = settings
        self._credentials = FileSecret(secrets, settings.credentials, settings)
        # Nobody can ask Envoy what it has read. What refers to a file leaves its ConfigMap within the time that is
        # given to pods that cannot be asked, and the file after as much again.
        patient = replace(settings, removal_s=2 * settings.removal_s)
        self._envoy = FileSecret(secrets, settings.envoy_secrets, patient)
        self._all = (self._envoy, self._credentials) if settings.bundled else (self._credentials,)
        #: Whether the API server refused the last write of one of them, which is then to be tried again.
        self.is_refused = False

    @property
    def names(self) -> tuple[str, ...]:
        """The Secrets that are written."""
        return tuple(each.name for each in self._all)

    @property
    def versions(self) -> tuple[str, str]:
        """Their ``resourceVersion``s; empty for one that is not there."""
        return self._credentials.version, self._envoy.version

    def removal_due(self) -> float | None:
        """When something may leave one of them at the latest, by the clock of ``Moment``."""
        return min((due for each in self._all if (due := each.removal_due()) is not None), default=None)

    async def take_over(self) -> None:
        """Read what another leader has left. Raises ``ClusterError``."""
        for each in self._all:
            await each.take_over()

    async def refresh(self) -> None:
        """Read them again, as after a conflict. Raises ``ClusterError``."""
        for each in self._all:
            await each.refresh()

    def saw(self, name: str, obj: Object | None) -> bool:
        """Take in what a watch says. Says whether a Secret is not what it was left as."""
        return (self._credentials if name == self._credentials.name else self._envoy).saw(obj)

    async def publish(self, translation: Translation, moment: Moment, unsure: Collection[Subject]) -> Filed:
        """Write what differs. Raises ``ClusterError``, but not when a write is refused.

        ``unsure``: the objects of whose Secrets the API server has not told.
        """
        # One knows of files that are not there, the other of Envoy's.
        named, outcomes = owners_of(translation.config), dict[str, Outcome]()
        owners = named | dict(translation.file_owners)
        doubted = {file for file, owner in owners.items() if owner in unsure}
        credentials = Wanted(translation.credentials, named.keys(), doubted)
        if self._settings.bundled:
            certificates = Wanted(translation.envoy_secrets, frozenset())
            outcomes[self._envoy.name] = await self._envoy.publish(certificates, replace(moment, served=None))
        outcomes[self._credentials.name] = await self._credentials.publish(credentials, moment)
        self.is_refused = any(each.is_refused for each in outcomes.values())
        return Filed(
            written=tuple(name for name, outcome in outcomes.items() if outcome.written),
            unheld={
                owners[file]: Finding(self._subject(name), "", trouble.message, trouble.reason)
                for name, outcome in outcomes.items()
                for file, trouble in outcome.missing.items()
                if file in owners
            },
            sizes={name: outcome.size for name, outcome in outcomes.items()},
        )

    def _subject(self, name: str) -> Subject:
        return Subject("Secret", self._settings.namespace, name)
