"""Numbers too small for comfort: they cost no time, and the caller's floating-point mode is its own affair."""

import ctypes
import pathlib
import platform
import subprocess
import sys
from time import perf_counter

import numpy as np
import pytest
from child import environment

import fastmlp
from fastmlp import MLP, Adam


def at_most_twice_the_time(slow, normal):
    """Whether the best of many runs, alternating, takes at most twice the best of the others."""
    best = [np.inf, np.inf]
    for _ in range(60):
        for i, call in enumerate((slow, normal)):
            start = perf_counter()
            call()
            best[i] = min(best[i], perf_counter() - start)
    return best[0] <= 2 * best[1]


def test_moments_of_a_dead_column_cost_no_time(rng):
    X, t = rng.normal(size=(32, 64)).astype(np.float32), rng.integers(0, 2, 32)
    dead, alive = (MLP([64, 64, 2], seed=1) for _ in range(2))
    for net in (dead, alive):
        net.fit(X, t, epochs=2, optimizer=Adam())
    half = X.copy()
    half[:, ::2] = 0
    dead.fit(half, t, epochs=3000, batch_size=32, optimizer=Adam())
    assert at_most_twice_the_time(
        lambda: dead.fit(half, t, epochs=10, batch_size=32, optimizer=Adam()),
        lambda: alive.fit(X, t, epochs=10, batch_size=32, optimizer=Adam()),
    )


class Mode:
    """This thread's control bits of SSE, through the C library's fenv_t; its flags say only what happened."""

    FLUSH = 0x8040  # results and operands that are subnormal are 0

    def __init__(self):
        self.libm, self.env = ctypes.CDLL("libm.so.6"), (ctypes.c_uint32 * 8)()

    def get(self):
        assert self.libm.fegetenv(self.env) == 0
        return self.env[7] & ~0x3F

    def set(self, mode):
        self.get()
        self.env[7] = mode
        assert self.libm.fesetenv(self.env) == 0


def main():
    mode, rng = Mode(), np.random.default_rng(0)
    normal = mode.get()
    X, t = rng.normal(size=(3000, 130)).astype(np.float32), rng.integers(0, 3, 3000)
    tiny = X * np.float32(1e-39)

    def everything(threads):
        fastmlp.set_num_threads(threads)
        net = MLP([130, 200, 3], seed=1)
        net.fit(X, t, epochs=1, batch_size=500)
        results = [net.params, net.backward(X, net(X)), net.predict_proba(X)]
        unbiased = MLP([130, 200, 3], seed=1)  # a bias would swallow what comes of subnormal inputs
        unbiased.weights[0][...] *= np.float32(1e20)
        return b"".join(r.tobytes() for r in [*results, unbiased(tiny), unbiased(tiny[0])])

    mode.set(normal | mode.FLUSH)
    flushed = everything(4), everything(1)  # the workers start here
    assert mode.get() == normal | mode.FLUSH, "changed"
    mode.set(normal)
    plain = everything(4), everything(1)
    assert mode.get() == normal, "changed"
    assert plain[0] == plain[1], "workers keep the mode in which they were started"
    assert flushed[0] == flushed[1], "workers do not follow their caller"
    assert flushed[0] != plain[0], "nothing here is subnormal"
    print("left alone")


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or platform.machine() != "x86_64", reason="fenv_t of glibc, x86-64"
)
def test_no_thread_has_a_floating_point_mode_of_its_own():
    here = pathlib.Path(__file__).resolve()
    child = subprocess.run(
        [sys.executable, str(here)], env=environment(), cwd=here.parent, capture_output=True, text=True
    )
    assert (child.returncode, child.stdout) == (0, "left alone\n"), child.stderr


if __name__ == "__main__":
    main()
