"""What becomes of each route, kept for as long as nothing changes that it depends on.

Of a thousand routes one changes at a time; the others are the larger part of the work.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.api.findings import Finding, Subject
from controller.translate.callers import Door
from controller.translate.canonical import digest_of
from controller.translate.extproc_config import config_bytes, config_rules
from controller.translate.reading import ReadRoute
from controller.translate.references import Catalog, ResolvedRoute, resolve_route
from controller.translate.statuses import ObjectStatus, route_status
from extproc.config.schema import Rule


class CompiledRoute:
    """A route, its rules in the processor's configuration, and their digest. Depends on what it is made from alone."""

    def __init__(self, read: ReadRoute, prospects: tuple[str, ...], door: Door | None, catalog: Catalog) -> None:
        self.read = read
        self.prospects = prospects
        self.door = door
        resolved = resolve_route(read, catalog)
        if door is not None:
            resolved = replace(resolved, findings=(*resolved.findings, *door.findings))
        self.resolved: ResolvedRoute = resolved
        self.rules: Sequence[Rule] = config_rules(resolved, door)
        self._part = digest_of(*map(config_bytes, self.rules))
        self._told: _Told | None = None

    def status(self, warnings: Sequence[Finding]) -> ObjectStatus:
        """With warnings about how it stands to other routes."""
        if self._told is None or self._told.warnings != warnings:
            self._told = _Told(warnings, route_status(self.resolved, warnings, self._part))
        return self._told.status


@dataclass(frozen=True, slots=True)
class _Told:
    warnings: Sequence[Finding]
    status: ObjectStatus


class Memory:
    """The routes of the last translation, for the next one; of no influence on what comes out.

    Routes are known again by identity: it is for callers who keep what they read. Not for two threads at once.
    """

    def __init__(self) -> None:
        self._kept: dict[Subject, CompiledRoute] = {}

    def compiled(
        self, reads: Iterable[ReadRoute], catalog: Catalog, doors: Mapping[Subject, Door]
    ) -> list[CompiledRoute]:
        """Each of them, in their order; all others are forgotten."""
        compiled = [self._compiled(read, doors.get(read.subject), catalog) for read in reads]
        self._kept = {each.read.subject: each for each in compiled}
        return compiled

    def _compiled(self, read: ReadRoute, door: Door | None, catalog: Catalog) -> CompiledRoute:
        kept, prospects = self._kept.get(read.subject), catalog.prospects(read)
        if kept is not None and kept.read is read and kept.prospects == prospects and kept.door == door:
            return kept
        return CompiledRoute(read, prospects, door, catalog)
