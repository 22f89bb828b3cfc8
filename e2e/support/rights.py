"""What the chart lets its operator do, right by right, and an operator that lacks one of them."""

import itertools
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e.support.accounts import make_namespace
from e2e.support.api import Api, Object
from e2e.support.control_plane import ControlPlane
from e2e.support.helm import HELM_4, Helm, find_helm
from e2e.support.operators import Operator
from e2e.support.release import CHART
from e2e.support.status import conditions

NAME = "llmroute"
_RIGHTS = ("ServiceAccount", "Role", "RoleBinding")
#: At a time: each is a Python that starts, and the machine may have two cores.
_TOGETHER = 2
#: Between two looks; an operator that is asked all the time gets to nothing else.
_POLL_S = 0.25
#: At least, for a right to be missed; a slow machine gets more.
_LIMIT_S, _TIMES_AS_LONG = 60.0, 10.0
_LOG_CHARACTERS = 1500


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource, on all of them or on some names."""

    resource: str
    verb: str
    named: bool

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{' by name' if self.named else ''}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an operator that lacks a right. ``fault``: why it counts as idle; empty when it was missed."""

    right: Right
    seconds: float
    fault: str


@dataclass(frozen=True)
class ChartRights:
    """The rendered chart, for an operator of one other namespace: the same rules as for all, in Roles.

    Of another one, because rights on its own objects by name would hide behind those on all in the namespace it serves.

    Attributes:
        flags: for ``helm template``.
        work: makes what there is to do, in the operator's namespace and in the one it serves; with a route ``to-one``.
    """

    plane: ControlPlane
    folder: Path
    flags: Sequence[str]
    work: Callable[[Api, str], None]

    def rights(self) -> set[Right]:
        """All that it grants."""
        roles = [each for each in self._rendered("x") if each["kind"] == "Role"]
        return {right for role in roles for right in rights_of(role["rules"])}

    def seconds_with_all(self, namespace: str) -> float:
        """How long it takes an operator to do what there is to do; nothing may be refused to it."""
        began = time.monotonic()
        with self._operator(namespace, None) as operator:
            while "Programmed" not in conditions(self.plane.admin.get("LLMRoute", served(namespace), "to-one")):
                assert time.monotonic() < began + _LIMIT_S, operator.log[-_LOG_CHARACTERS:]
                time.sleep(_POLL_S)
            refused = [each for each in operator.asked() if each.status in {401, 403}]
            assert refused == []
        return time.monotonic() - began

    def without_each(self, rights: Collection[Right], prefix: str, all_s: float) -> list[Outcome]:
        """Take each away once, in namespaces of its own. After ``all_s`` in all, nothing more is begun."""
        limit_s = max(_LIMIT_S, _TIMES_AS_LONG * self.seconds_with_all(f"{prefix}all"))
        deadline = time.monotonic() + all_s

        def outcome(place: tuple[int, Right]) -> Outcome:
            number, right = place
            began = time.monotonic()
            left_s = min(limit_s, deadline - began)
            fault = self._without(right, f"{prefix}{number}", left_s) if left_s > 0 else "not tried: no time was left"
            return Outcome(right, time.monotonic() - began, fault)

        with ThreadPoolExecutor(_TOGETHER) as pool:
            return list(pool.map(outcome, enumerate(sorted(rights))))

    def _without(self, right: Right, namespace: str, limit_s: float) -> str:
        with self._operator(namespace, right) as operator:
            deadline = time.monotonic() + limit_s
            while not (missed := is_missed(operator, right)):
                if operator.code is not None or time.monotonic() > deadline:
                    break
                time.sleep(_POLL_S)
            if missed or is_missed(operator, right):
                return ""
            why = f"not missed within {limit_s:.0f} s" if operator.code is None else f"ended with {operator.code}"
            return f"{why}:\n{operator.log[-_LOG_CHARACTERS:]}"

    def _rendered(self, namespace: str) -> list[dict[str, Any]]:
        helm = Helm(find_helm(HELM_4), self.folder / "helm", None, namespace)
        flags = ("--set", f"operator.namespaces={{{served(namespace)}}}", *self.flags)
        return [each for each in yaml.safe_load_all(helm("template", NAME, str(CHART), *flags)) if each]

    @contextmanager
    def _operator(self, namespace: str, taken: Right | None) -> Iterator[Operator]:
        """The operator of the chart with its arguments and its rights, but for one, and something to do."""
        api = self.plane.admin
        for name in (namespace, served(namespace)):
            make_namespace(api, name)
        documents = self._rendered(namespace)
        for each in documents:
            if each["kind"] in _RIGHTS:
                less = {"rules": without(each["rules"], taken)} if taken and "rules" in each else {}
                api.apply({**each, **less})
        [deployment] = [
            each for each in documents if (each["kind"], each["metadata"]["name"]) == ("Deployment", f"{NAME}-operator")
        ]
        deployment["spec"]["replicas"] = 0
        api.apply({**deployment, "metadata": {**deployment["metadata"], "namespace": namespace}})
        self.work(api, namespace)
        arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        flags = [each for each in arguments if each.partition("=")[0] not in {"operator", "--http"}]
        operator = Operator(self.plane, self.folder, f"{namespace}/{NAME}-operator", *flags, name=namespace)
        try:
            yield operator
        finally:
            operator.close()
            for kind in ("LLMRoute", "LLMBackend"):
                api.delete_all(kind, served(namespace))


def rights_of(rules: Sequence[Object]) -> list[Right]:
    """What rules grant, one by one."""
    return [
        Right(resource, verb, "resourceNames" in rule)
        for rule in rules
        for resource, verb in itertools.product(rule["resources"], rule["verbs"])
    ]


def without(rules: Sequence[Object], right: Right) -> list[Object]:
    """The rules, less one right."""
    kept: list[Object] = []
    for rule in rules:
        if right not in rights_of([rule]):
            kept.append(rule)
            continue
        others = [each for each in rule["resources"] if each != right.resource]
        verbs = [each for each in rule["verbs"] if each != right.verb]
        kept += [{**rule, "resources": others}] if others else []
        kept += [{**rule, "resources": [right.resource], "verbs": verbs}] if verbs else []
    return kept


def is_missed(operator: Operator, right: Right) -> bool:
    """Whether the API server has refused what it is for, or has told the operator, who asked first, that it would."""
    # A server-side apply of what is not there yet needs ``create``, and is logged as what it is: a patch.
    verbs = {right.verb, "patch"} if right.verb == "create" else {right.verb}
    if any(each.status == 403 and each.verb in verbs and each.resource == right.resource for each in operator.asked()):
        return True
    if f"may not {right.verb} {right.resource}." in operator.log:
        return True
    denied = rf'kind="{right.resource}[".].*state="denied"}} 1'
    return re.search(denied, operator.page("/metrics")[1]) is not None


def served(namespace: str) -> str:
    """The namespace that the operator of another one serves."""
    return f"{namespace}-served"
