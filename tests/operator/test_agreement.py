"""Which version of the configuration is read by all extproc pods."""

from dataclasses import replace

from controller.operator.agreement import Agreement
from controller.operator.roster import Answer, Pod
from extproc.config.names import OLDEST_VERSION, VERSION

NEW, OLD = (Pod(name, f"uid-{name}", f"10.0.0.{i}") for i, name in enumerate(["new", "old"]))
NEWS, OLDS = Answer(1, accepts=VERSION), Answer(1, accepts=OLDEST_VERSION)
SILENT = Answer(None, "no answer")
COMING = replace(OLD, is_ready=False)


def test_one_answer_holds_until_the_pod_is_gone() -> None:
    """A pod that answers every other time does not make the version go up and down."""
    agreement = Agreement()
    told = [agreement.heard({NEW: NEWS, OLD: answer}, at) for at, answer in enumerate([OLDS, SILENT, OLDS, SILENT])]

    assert (told, agreement.version) == ([True, False, False, False], OLDEST_VERSION)
    assert agreement.heard({NEW: NEWS}, 9)
    assert agreement.version == VERSION


def test_a_ready_pod_that_has_not_answered_is_waited_for_and_then_does_not_count() -> None:
    """Or else a pod that just cannot be asked would keep everybody from what is new."""
    agreement = Agreement()

    assert not agreement.heard({NEW: NEWS, OLD: SILENT}, 0)
    assert not agreement.heard({NEW: NEWS, OLD: SILENT}, 9)
    assert agreement.version is None
    assert agreement.heard({NEW: NEWS, OLD: SILENT}, 10)
    assert agreement.version == VERSION


def test_an_old_pod_that_comes_takes_nothing_from_newer_ones_that_serve() -> None:
    """It is the first of a rollback, which stops there."""
    agreement = Agreement()
    agreement.heard({NEW: NEWS}, 0)

    assert not agreement.heard({NEW: NEWS, COMING: Answer(None, "none yet", accepts=OLDEST_VERSION)}, 1)
    assert agreement.version == VERSION


def test_where_none_is_ready_those_that_come_decide() -> None:
    """They could not become ready otherwise."""
    agreement = Agreement()

    assert agreement.heard({COMING: Answer(None, "none yet", accepts=OLDEST_VERSION)}, 0)
    assert agreement.version == OLDEST_VERSION


def test_a_pod_that_was_ready_counts_while_it_is_not() -> None:
    """It serves again in a moment, and could not read what is written meanwhile."""
    agreement = Agreement()
    agreement.heard({NEW: NEWS, OLD: OLDS}, 0)

    assert not agreement.heard({NEW: NEWS, COMING: SILENT}, 1)
    assert agreement.version == OLDEST_VERSION


def test_that_nobody_can_be_asked_is_known_after_a_while() -> None:
    """No pods are no such case."""
    agreement = Agreement()
    agreement.heard({}, 0)
    assert not agreement.is_unknown(100)
    agreement.heard({NEW: SILENT}, 100)
    assert not agreement.is_unknown(109)
    assert agreement.is_unknown(110)
    agreement.heard({NEW: NEWS}, 111)
    assert not agreement.is_unknown(111)
