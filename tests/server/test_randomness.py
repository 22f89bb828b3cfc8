"""Randomness that survives the way workers are made."""

from multiprocessing import get_context
from multiprocessing.connection import Connection

from extproc.server.servicer import EDGES


def _tell(draws: Connection) -> None:
    draws.send([EDGES.draw() for _ in range(5)])
    draws.close()


def test_forked_workers_draw_differently() -> None:
    """Two processes forked from one that has already drawn do not choose the same backends."""
    EDGES.draw()
    context = get_context("forkserver")
    context.set_forkserver_preload(["extproc.server.servicer"])
    drawn = []
    for _ in range(2):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_tell, args=(theirs,))
        process.start()
        theirs.close()
        drawn.append(ours.recv())
        process.join()
        ours.close()

    assert drawn[0] != drawn[1]
