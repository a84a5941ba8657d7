"""How the cost of a training step grows: python bench/growth.py [--png FILE] [--json FILE]. One core, float32, Adam.

Width and depth around 784-128-10 at a batch of 128, batch of 20-64-64-2, rows of the data; in GFLOP/s, with the two
limits above each step: the peak of fused multiply-adds, and what memory allows where no cache helps. A step reads at
least its rows, and reads and writes each weight with Adam's two moments: at the bandwidth of a large copy, measured in
this run. What stands above that line lives in caches.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import time
from itertools import pairwise

import native
import numpy as np

import fastmlp

SWEEPS = {  # what grows: (sizes, batch, steps an epoch or None for about 50 ms) for each of its values
    "width of the hidden layer": {
        w: ((784, w, 10), 128, None) for w in (1, 2, 4, 8, 16, 17, 32, 64, 65, 128, 256, 512, 1024)
    },
    "hidden layers of 128": {d: ((784, *[128] * d, 10), 128, None) for d in (1, 2, 3, 4, 6, 8, 12, 16)},
    "batch (20-64-64-2)": {
        b: ((20, 64, 64, 2), b, None) for b in (1, 2, 4, 8, 16, 17, 32, 33, 64, 128, 256, 512, 1024, 2048, 4096)
    },
    "rows of the data (784-128-10)": {128 * n: ((784, 128, 10), 128, n) for n in (1, 4, 16, 64, 256, 1024)},
}


def peak_gflops() -> float:
    """The FMA peak of the ISA in use, by the loop of kernel_rates.c."""
    with tempfile.TemporaryDirectory() as folder:
        program = native.build("kernel_rates", pathlib.Path(folder))
        lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    rates = [json.loads(line) for line in lines]
    return max(rate["peak"] for rate in rates if rate["isa"] == fastmlp.cpu_info()["isa"] and "peak" in rate)


def bandwidth() -> float:
    """Bytes a second, read and written, of a copy that no cache holds."""
    source = np.ones(2**26, np.float32)
    target = np.zeros_like(source)
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - start)
    return 2 * source.nbytes / best


def flop(sizes: tuple[int, ...], batch: int) -> int:
    """Of one step: two for each weight and row, three times, less the first layer's dX, which nobody needs."""
    layers = list(pairwise(sizes))
    return batch * (6 * sum(i * o for i, o in layers) - 2 * sizes[0] * sizes[1])


def least_bytes(sizes: tuple[int, ...], batch: int) -> int:
    """A step's rows, and W, m and v read and written."""
    return 4 * (batch * sizes[0] + 6 * sum(i * o for i, o in pairwise(sizes)))


def seconds_a_step(sizes: tuple[int, ...], batch: int, steps: int | None) -> float:
    steps = steps or max(8, min(2000, int(4e9 / flop(sizes, batch))))
    rng = np.random.default_rng(0)
    X = rng.standard_normal((batch * steps, sizes[0]), np.float32)
    y = rng.integers(0, sizes[-1], len(X))
    net = fastmlp.MLP(sizes)
    return min(net.fit(X, y, epochs=max(4, 60 // steps), batch_size=batch, threads=1).seconds) / steps


def measure() -> dict:
    found = {"peak_gflops": peak_gflops(), "bandwidth": bandwidth(), "sweeps": {}}
    for what, cases in SWEEPS.items():
        rows = []
        for value, (sizes, batch, steps) in cases.items():
            work, seconds = flop(sizes, batch), seconds_a_step(sizes, batch, steps)
            limit = work / least_bytes(sizes, batch) * found["bandwidth"] * 1e-9
            rows.append({"value": value, "us": 1e6 * seconds, "gflops": 1e-9 * work / seconds, "memory_gflops": limit})
            print(f"{what} {value:>7}: {rows[-1]['us']:10.1f} us a step, {rows[-1]['gflops']:6.1f} GFLOP/s", flush=True)
        found["sweeps"][what] = rows
    return found


def draw(found: dict, path: pathlib.Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    for axis, (what, rows) in zip(axes.flat, found["sweeps"].items(), strict=True):
        values = [row["value"] for row in rows]
        axis.loglog(values, [row["gflops"] for row in rows], "o-", label="fastmlp")
        axis.loglog(
            values,
            [row["memory_gflops"] for row in rows],
            "--",
            color="gray",
            label="limit of memory, without caches",
        )
        axis.axhline(found["peak_gflops"], color="firebrick", label="peak of fused multiply-adds")
        axis.set(xlabel=what, ylabel="GFLOP/s", ylim=(0.1, 3 * found["peak_gflops"]))
        axis.grid(alpha=0.3)
    axes[0, 0].legend(loc="lower right")
    figure.suptitle("A training step of fastmlp on one core: float32, Adam")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--png", type=pathlib.Path, default="growth.png", help="the plot (default: growth.png)")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures there too")
    args = parser.parse_args()
    native.pin()
    found = measure()
    draw(found, args.png)
    print(f"plotted in {args.png}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
