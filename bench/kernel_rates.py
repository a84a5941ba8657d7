"""What each kernel reaches on each ISA of this CPU: python bench/kernel_rates.py [--json FILE].

The products of float32 as a share of the peak that a loop of fused multiply-adds measures in turns with them, beside
OpenBLAS (through NumPy) and, where it is installed, libxsmm; the other kernels in nanoseconds an element. One core.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import timeit

import native

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np


def measure() -> list[dict]:
    """What kernel_rates.c prints, and OpenBLAS's rate beside each product of the best ISA."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            more = ["-DLIBXSMM", "-lxsmm", "-lxsmmnoblas", "-ldl"]
            program = native.build("kernel_rates", pathlib.Path(folder), *more)
        except subprocess.CalledProcessError:
            print("without libxsmm, which is not installed (Debian: libxsmm-dev)")
            program = native.build("kernel_rates", pathlib.Path(folder))
        run = subprocess.run([program], check=True, capture_output=True, text=True)
    rates = [json.loads(line) for line in run.stdout.splitlines()]
    for rate in rates:
        if rate["isa"] == rates[-1]["isa"] and "gflops" in rate:
            M, N, K = map(int, rate["kernel"].split()[1].split("x"))
            X, W, Y = np.ones((M, K), np.float32), np.ones((K, N), np.float32), np.empty((M, N), np.float32)
            timer = timeit.Timer(lambda X=X, W=W, Y=Y: np.matmul(X, W, out=Y))
            number = max(1, int(2e8 / (2 * M * N * K)))
            rate["openblas"] = 2e-9 * M * N * K * number / min(timer.repeat(25, number))
    return rates


def table(rates: list[dict]) -> list[str]:
    every = list(dict.fromkeys(rate["isa"] for rate in rates))
    isas = list(dict.fromkeys(rate["isa"] for rate in rates if "gflops" in rate))
    of = {(rate["kernel"], rate["isa"]): rate for rate in rates}
    lines = [
        "",
        f"{'GFLOP/s (share of the peak)':28}" + "".join(f"{isa:>16}" for isa in (*isas, "OpenBLAS", "libxsmm")),
    ]
    for kernel in dict.fromkeys(rate["kernel"] for rate in rates if "gflops" in rate):
        cells = []
        for isa in isas:
            rate = of[kernel, isa]
            cells.append(f"{rate['gflops']:.1f} ({100 * rate['gflops'] / rate['peak']:3.0f} %)")
        best = of[kernel, isas[-1]]
        cells += [f"{best[peer]:.1f}" if peer in best else "-" for peer in ("openblas", "libxsmm")]
        lines.append(f"{kernel:28}" + "".join(f"{cell:>16}" for cell in cells))
    lines += ["", f"{'ns an element':28}" + "".join(f"{isa:>16}" for isa in every)]
    for kernel in dict.fromkeys(rate["kernel"] for rate in rates if "ns" in rate):
        lines.append(f"{kernel:28}" + "".join(f"{of[kernel, isa]['ns']:16.3f}" for isa in every))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=pathlib.Path, help="write the rates there too")
    args = parser.parse_args()
    native.pin()
    rates = measure()
    print("\n".join(table(rates)))
    if args.json:
        args.json.write_text(json.dumps(rates, indent=1) + "\n")


if __name__ == "__main__":
    main()
