"""Child processes train: forked, from a fork server or spawned; before, while and after their parent does.

The first fork has to come before the first thread, so each way is tried in a child: this file run as a program.
"""

import multiprocessing
import pathlib
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from child import environment

import fastmlp

SECONDS = 30


def train(net, epochs=2):
    """Two threads do; what the network is then."""
    rng = np.random.default_rng(0)
    X, t = rng.normal(size=(301, 130)).astype(np.float32), rng.integers(0, 7, 301)
    net.fit(X, t, epochs=epochs, batch_size=150, threads=2)
    return net.params.tobytes() + net(X).tobytes()


def trained():
    return train(fastmlp.MLP([130, 260, 7], seed=1))


def send(pipe, busy):
    if busy:  # in the parent, while it forked
        train(busy)
    pipe.send_bytes(trained())


def child(context, busy=None):
    """What a child process trains, which has to be there in time."""
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=send, args=(there, busy))
    process.start()
    there.close()
    try:
        assert here.poll(SECONDS), "the child hangs"
        return here.recv_bytes()
    finally:
        process.kill()
        process.join()


def main(method):
    context = multiprocessing.get_context(method)
    before = child(context)
    wanted = trained()
    after = child(context)
    stop, busy = threading.Event(), fastmlp.MLP([130, 260, 7])

    def keep_training():
        while not stop.is_set():
            train(busy, epochs=20)

    trainer = threading.Thread(target=keep_training)
    trainer.start()
    try:
        during = [child(context, busy) for _ in range(5)] if method == "fork" else [child(context)]
    finally:
        stop.set()
        trainer.join()
    assert all(found == wanted for found in (before, after, *during))
    print("all alike")


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_child_process_trains_whatever_its_parent_does(method):
    here = pathlib.Path(__file__).resolve()
    program = subprocess.run(
        [sys.executable, str(here), method], env=environment(), cwd=here.parent, capture_output=True, text=True
    )
    assert (program.returncode, program.stdout) == (0, "all alike\n"), program.stderr


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # to fork beside threads is what this is about
    main(sys.argv[1])
