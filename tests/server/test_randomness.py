"""Randomness that survives the way workers are made."""

from multiprocessing import get_context
from multiprocessing.connection import Connection

from extproc.server.servicer import EDGES


def _tell(draws: Connection) -> None:
    draws.send([str(EDGES.draw()), EDGES.new_id()])
    draws.close()


def test_forked_workers_draw_differently() -> None:
    """Two processes forked from one that has already drawn neither choose the same backends nor give the same ids."""
    EDGES.draw()
    EDGES.new_id()
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

    assert not set(drawn[0]) & set(drawn[1])
