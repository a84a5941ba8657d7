"""Each request for memory fails in turn: a MemoryError, nothing leaked, the network as before and ready for more.

The C library's allocators are replaced (failing_malloc.c), so the work is done in a child: this file run as a program.
"""

import ctypes
import gc
import os
import pathlib
import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest
from child import environment
from saved import facts

import fastmlp
from fastmlp import MLP, Adam, kernels

HERE = pathlib.Path(__file__).resolve().parent

rng = np.random.default_rng(0)
X = rng.normal(size=(1100, 6)).astype("f")
y = rng.integers(0, 3, 1100)
LEAST = 4096  # bytes: NumPy, not fastmlp, answers some smaller failures by a SystemError
WIDE = 5000  # a row of which does not fit into the scratch that is on the stack


def trained(hidden=40):
    net = MLP([6, hidden, hidden, 3], seed=1)
    net.fit(X, y, epochs=1, batch_size=200, optimizer=Adam())
    return net


def fit(net):
    return net.fit(X, y, epochs=1, batch_size=300, optimizer=fastmlp.SGD(0.1, momentum=0.9)).loss


def results(folder):
    """name -> (what makes a network, what computes from it)."""
    there, new = os.path.join(folder, "there.npz"), os.path.join(folder, "new.npz")
    trained().save(there)
    other = trained()
    other.fit(X, y, epochs=1, optimizer=fastmlp.SGD(0.1, momentum=0.9))
    wide, W = MLP([6, WIDE, 3]), rng.normal(size=(200, 6)).astype("f")
    return {
        "build": (trained, lambda net: facts(MLP([6] * 100, bias=False))),
        "a row": (lambda: wide, lambda net: net(X[0]).tobytes()),
        "many rows": (trained, lambda net: net(X).tobytes()),
        "other numbers": (trained, lambda net: net(X.astype("f8")).tobytes()),
        "predict": (trained, lambda net: net.predict_proba(X).tobytes()),
        "fit": (trained, fit),
        "train_step": (trained, lambda net: net.train_step(X, y, Adam(0.1))),
        "loss_and_grad": (trained, lambda net: (net.loss_and_grad(X, y)[0], net.grads.tobytes())),
        "backward": (trained, lambda net: net.backward(X, X[:, :3]).tobytes()),
        "optimizer state": (trained, lambda net: (net.set_optimizer_state(other.optimizer_state()), facts(net))[1]),
        "save": (trained, lambda net: (net.save(new), facts(fastmlp.load(new)))),
        "load": (trained, lambda net: facts(fastmlp.load(there))),
        "matmul": (trained, lambda net: kernels.matmul(X, W).tobytes()),
        "outer_gradient": (trained, lambda net: kernels.outer_gradient(X, X)[0].tobytes()),
    }


def main(library, folder):
    libc = ctypes.PyDLL(library)
    libc.fail_at.restype = libc.live_bytes.restype = ctypes.c_long
    libc.fail_at.argtypes = [ctypes.c_long, ctypes.c_long]
    fail_at, live_bytes = libc.fail_at, libc.live_bytes

    def attempt(compute, net, number):
        """Whether the request was made, and what came of it: a result, or None for a MemoryError."""
        fail_at(number, LEAST)
        try:
            result = compute(net)
        except MemoryError:
            result = None
        return fail_at(0, 0) == 0, result

    for name, (make, compute) in results(folder).items():
        net = make()
        before, wanted = facts(net), compute(net)
        after = facts(net)
        number = errors = 0
        made = True
        while made:
            number += 1
            for _ in range(3):  # the first failure at a place may fill caches
                net = None
                held = live_bytes()
                net = make()
                made, result = attempt(compute, net, number)
                if not made:
                    break
                errors += result is None
                assert result in (None, wanted), (name, number)
                assert facts(net) in (before, after), (name, number)
                assert set(os.listdir(folder)) <= {"there.npz", "new.npz"}, (name, number)
                net = result = None
                gc.collect()
                leaked = live_bytes() - held
                net = make()
                assert compute(net) == wanted, (name, number)
            assert not made or leaked < LEAST, (name, number, leaked)
        assert errors >= 3, name
        print(f"{name}: {number - 1} requests")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="replaces the allocators of glibc")
def test_any_request_for_memory_fails(tmp_path):
    compiler = shutil.which("cc") or pytest.skip("needs a C compiler")
    library, folder = tmp_path / "failing_malloc.so", tmp_path / "models"
    folder.mkdir()
    flags = ["-shared", "-fPIC", "-fno-builtin", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", library, HERE / "failing_malloc.c"], check=True)
    child = subprocess.run(
        [sys.executable, __file__, library, folder],
        env=environment(HERE, LD_PRELOAD=str(library)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (child.returncode, child.stderr) == (0, "")
    assert sum(int(line.split()[-2]) for line in child.stdout.splitlines()) > 30


if __name__ == "__main__":
    main(*sys.argv[1:])
