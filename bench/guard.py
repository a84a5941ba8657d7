"""The guard against slow regressions: python bench/guard.py. Exits with 1 where one of the bounds below is crossed.

Instructions and simulated cache misses of the core, counted by Valgrind: the same number in every run, whatever else
the machine does, so that noise can neither trip nor hide. Valgrind knows no AVX-512; AVX2, which it counts, runs the
same bodies. What Python adds to a call is timed against NumPy, in turns within one run: the ratio of the two fastest
of many short rounds.
"""

import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import timeit

import native

LANES = 8  # floats in an AVX2 vector
CALLGRIND = [
    *("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=measured"),
    *("--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,16,64"),  # a cache that no host has
]

# case: (multiply-adds, most instructions per vector of them, most L1 misses per thousand vectors), with the reasons.
# A tile of 6 x 2 vectors needs 12 multiply-adds, 6 broadcasts, 2 loads and 4 steps of addresses and counter for each k:
# 2.0 instructions; what stands above that is said beside each. The bounds lie some 6 % above what GCC 12 makes of it,
# for another compiler's taste: an epilogue that asks what to do at each vector makes a short step 14 % longer.
CASES = {
    # a tile's start and end, 64 k apart, add a fifth; everything fits L1
    "product:32,64,64": (32 * 64 * 64, 2.6, 20),
    # the ends of tiles, 784 k apart, add a twentieth; each of 22 tiles in height reads a panel of W again from L2: two
    # lines for 12 multiply-adds, 167 in a thousand, less what L1 keeps. Strides that hit few sets show here.
    "product:128,512,784": (128 * 512 * 784, 2.4, 135),
    # three short products; gather, loss, packing and Adam, 45 instructions for 8 parameters, add 1.3
    "32:20-64-64-2": (8 * 32 * (2 * 20 * 64 + 3 * (64 * 64 + 64 * 2)), 3.8, 90),
    # the same with long sums; Adam is a tenth
    "128:784-128-10": (8 * 128 * (2 * 784 * 128 + 3 * 128 * 10), 2.8, 145),
    # one row: a load and multiply-add for 8 weights, a broadcast for 64, and the bits that tell what is not zero
    "row:4-64-64-2": (4 * 64 + 64 * 64 + 64 * 16, 3.2, 20),
    # every line of W is read once: one miss for two multiply-adds
    "row:784-128-10": (784 * 128 + 128 * 16, 1.86, 540),
}
CALL_BOUND = 0.8  # one row of 20-16-1 takes half as long as a numpy.add of two such rows


def count(program: pathlib.Path, case: str) -> tuple[int, int]:
    """Instructions and L1 data misses of one case."""
    run = subprocess.run(
        [*CALLGRIND, str(program), case, "avx2"], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    found = [re.search(rf"{name}:\s+([\d,]+)", run.stderr) for name in (r"I\s+refs", r"D1\s+misses")]
    if run.returncode or not all(found):
        raise SystemExit(f"{case}: valgrind failed\n{run.stdout}{run.stderr}")
    instructions, misses = (int(match[1].replace(",", "")) for match in found)
    return instructions, misses


def call_ratio() -> float:
    """Time of one row through 20-16-1 over that of a numpy.add of its inputs."""
    import numpy as np

    import fastmlp

    net, x = fastmlp.MLP([20, 16, 1], loss="squared_error"), np.ones(20, np.float32)
    ours, numpys = timeit.Timer(lambda: net(x)), timeit.Timer(lambda: np.add(x, x))
    rounds = [(ours.timeit(500), numpys.timeit(500)) for _ in range(300)]
    return min(a for a, _ in rounds) / min(b for _, b in rounds)


def main() -> int:
    if not shutil.which("valgrind"):
        print("valgrind is not installed: the guard can't count")
        return 2
    if platform.machine() not in ("x86_64", "AMD64"):
        print("the guard's bounds are for AVX2")
        return 2
    failed = 0
    print("per vector multiply-add    instructions (most)    L1 misses / 1000 (most)")
    with tempfile.TemporaryDirectory() as folder:
        program = native.build("guard", pathlib.Path(folder))
        for case, (multiply_adds, most_instructions, most_misses) in CASES.items():
            instructions, misses = (LANES * n / multiply_adds for n in count(program, case))
            bad = instructions > most_instructions or 1000 * misses > most_misses
            failed += bad
            print(
                f"{case:25} {instructions:17.2f} ({most_instructions:4}) {1000 * misses:16.0f} ({most_misses:4})"
                + "  SLOWER" * bad
            )
    ratio = call_ratio()
    failed += ratio > CALL_BOUND
    print(f"one row of 20-16-1 / numpy.add: {ratio:.2f} ({CALL_BOUND})" + "  SLOWER" * (ratio > CALL_BOUND))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
