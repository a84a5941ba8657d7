"""The elementary functions against libm in a wider type: ulp_driver.c finds the largest error over very many inputs.

By default over a million float32 and a quarter of a million float64 inputs; with --exhaustive over all 2^32 float32 and
2^27 float64, where the maxima must be those that the comments and docstrings tell.
"""

import pathlib
import shutil
import subprocess

import numpy as np
import pytest

import fastmlp
from fastmlp import kernels

HERE = pathlib.Path(__file__).resolve().parent
CSRC = HERE.parent / "csrc"

# name -> the maxima found for float32 and float64, rounded up: in ulp of the exact result,
# for gelu of x, for Phi and the density in units of 2^-24 and 2^-53
MAXIMA = {
    "exp": (0.91, 0.91),
    "expm1": (1.53, 2.02),
    "log": (0.97, 1.42),
    "log1p": (1.08, 1.46),
    "tanh": (1.53, 1.55),
    "sigmoid": (2.41, 2.43),
    "silu": (3.35, 3.08),
    "softplus": (1.75, 2.09),
    "elu": (0.95, 1.19),
    "gelu": (1.54, 1.63),
    "Phi": (1.18, 1.21),
    "density": (0.73, 0.75),
}


@pytest.fixture(scope="module")
def drivers(tmp_path_factory):
    """The path of a driver per type, for the best ISA: the others have the same bits."""
    compiler = shutil.which("cc")
    if not (compiler and CSRC.is_dir()):
        pytest.skip("needs cc, and the C sources beside the tests")
    folder, isa = tmp_path_factory.mktemp("ulp"), fastmlp.cpu_info()["isas"][-1]
    for bits in (32, 64):
        flags = ["-std=gnu11", "-O2", "-ffp-contract=off", f"-I{CSRC}", f"-DBITS={bits}", f'-DSIMD="simd_{isa}.h"']
        command = [compiler, *flags, str(HERE / "ulp_driver.c"), "-o", str(folder / f"float{bits}"), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder


def largest_error(drivers, dtype, name, n):
    if dtype == np.float64 and np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("long double is no wider than double here")
    done = subprocess.run([str(drivers / dtype.name), name, str(n)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    error, where = done.stdout.split()
    print(f"{name} {dtype}: {error} ulp at {where}")
    return float(error)


@pytest.mark.parametrize("name", MAXIMA)
def test_no_error_is_larger_than_the_largest_told(drivers, dtype, name):
    error = largest_error(drivers, dtype, name, 2**20 if dtype == np.float32 else 2**18)
    assert 0.5 < error <= MAXIMA[name][dtype == np.float64]  # correct rounding alone would leave a half


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", MAXIMA)
def test_the_largest_error_is_the_one_told(drivers, dtype, name):
    told = MAXIMA[name][dtype == np.float64]
    error = largest_error(drivers, dtype, name, 2**32 if dtype == np.float32 else 2**27)
    assert error <= told
    if dtype == np.float32:
        assert error > told - 0.01


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "silu", "softplus", "elu", "gelu"])
def test_the_docstring_tells_the_maxima(name):
    single, double = MAXIMA[name]
    of = "ulp of z" if name == "gelu" else "ulp"
    assert (
        f"Errs by at most {single:.2f} {of} in float32 (all inputs), {double:.2f} in float64"
        in getattr(kernels, name).__doc__
    )
