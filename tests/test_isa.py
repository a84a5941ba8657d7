"""Every ISA gives the bits of the scalar path: forced here through FASTMLP_ISA, and NEON through a cross compiler."""

import functools
import glob
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

import pytest
from child import environment

import fastmlp

HERE = pathlib.Path(__file__).resolve().parent
CSRC = HERE.parent / "csrc"


def python(*arguments, cwd, isa=None):
    """A child with FASTMLP_ISA set, away from the source tree, that imports the package under test."""
    env = {k: v for k, v in environment().items() if k != "FASTMLP_ISA"}
    if isa is not None:
        env["FASTMLP_ISA"] = isa
    return subprocess.run([sys.executable, *arguments], env=env, cwd=cwd, capture_output=True, text=True)


@functools.cache
def digests(isa):
    child = python(str(HERE / "isa_digests.py"), cwd=HERE, isa=isa)
    assert child.returncode == 0, child.stderr
    result = json.loads(child.stdout)
    assert result["isa"] == isa  # the forced path really ran
    return result["digests"]


@pytest.mark.parametrize("isa", ["avx2", "avx512", "neon"])
def test_every_result_has_the_bits_of_the_scalar_path(isa):
    if isa not in fastmlp.cpu_info()["isas"]:
        pytest.skip(f"this CPU has no {isa}")
    scalar, found = digests("scalar"), digests(isa)
    assert found.keys() == scalar.keys()
    assert len(scalar) > 100
    assert [name for name in scalar if found[name] != scalar[name]] == []


def test_digests_see_a_difference():
    # a digest that did not depend on its inputs would agree with everything
    values = list(digests("scalar").values())
    assert len(set(values)) > 0.9 * len(values)


def test_the_best_isa_is_chosen_and_each_can_be_forced(tmp_path):
    code = "import fastmlp; print(fastmlp.cpu_info()['isa'])"
    isas = fastmlp.cpu_info()["isas"]
    assert isas[0] == "scalar"
    assert python("-c", code, cwd=tmp_path).stdout.strip() == isas[-1]
    assert python("-c", code, cwd=tmp_path, isa="").stdout.strip() == isas[-1]
    for isa in isas:
        assert python("-c", code, cwd=tmp_path, isa=isa).stdout.strip() == isa


@pytest.mark.parametrize(
    "isa", ["avx3", "AVX2", "neon" if platform.machine() in ("x86_64", "AMD64") else "avx2", "scalar "]
)
def test_an_unknown_or_missing_isa_fails_loudly(isa, tmp_path):
    child = python("-c", "import fastmlp", cwd=tmp_path, isa=isa)
    assert child.returncode != 0
    last = child.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError")
    assert "FASTMLP_ISA" in last
    assert repr(isa) in last
    assert all(re.search(rf"\b{name}\b", last) for name in fastmlp.cpu_info()["isas"])


TRAIN = """
import hashlib, numpy as np, fastmlp
net, X = fastmlp.MLP([7, 33, 3], activation="gelu", seed=1), np.arange(70, dtype="f4").reshape(10, 7) / 35 - 1
net.fit(X, np.arange(10) % 3, epochs=3, batch_size=4)
print(*fastmlp.cpu_info()["isas"], hashlib.sha256(net.params.tobytes() + net(X).tobytes()).hexdigest())
"""


@pytest.mark.skipif(platform.machine() != "x86_64" or not shutil.which("qemu-x86_64"), reason="needs qemu-x86_64")
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a sanitizer's memory does not fit the emulator's")
def test_a_cpu_without_avx2_gives_the_same_bits(tmp_path):
    old = ["qemu-x86_64", "-cpu", "Nehalem", sys.executable, "-c", TRAIN]
    found = subprocess.run(old, env=environment(), cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    known = python("-c", TRAIN, cwd=tmp_path).stdout.split()
    assert found.stdout.split() == ["scalar", known[-1]]
    assert known[-2] == fastmlp.cpu_info()["isas"][-1]


# The C core alone, without Python: isa_driver.c prints a hash per case, here and for a CPU of another kind.


def build(path, compiler, *more):
    """The path of isa_driver.c as a program."""
    if not (compiler and CSRC.is_dir()):
        pytest.skip("needs cc, and the C sources beside the tests")
    sources = [str(HERE / "isa_driver.c"), *sorted(glob.glob(str(CSRC / "*.c")))]
    flags = ["-std=gnu11", "-O2", "-ffp-contract=off", "-pthread", f"-I{CSRC}", *more]
    done = subprocess.run([compiler, *flags, *sources, "-o", path, "-lm"], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """The driver for this CPU: where that has an instruction for it, the scalar code calls no library for fma."""
    fma = ["-mfma"] if "avx2" in fastmlp.cpu_info()["isas"] else []
    return build(tmp_path_factory.mktemp("driver") / "native", shutil.which("cc"), *fma)


def run(*command):
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    header, *lines = found.stdout.splitlines()
    assert header == f"isa {command[-1]}"
    assert len(lines) > 500
    return lines


CROSS, QEMU = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")


@pytest.mark.skipif(not (CROSS and QEMU), reason="needs aarch64-linux-gnu-gcc and qemu-aarch64")
def test_neon_has_the_bits_of_the_scalar_path_and_of_x86(tmp_path, native):
    there = build(tmp_path / "there", CROSS, "-static")
    wanted = run(native, "scalar")
    assert run(QEMU, there, "neon") == wanted
    assert run(QEMU, there, "scalar") == wanted
    assert run(native, fastmlp.cpu_info()["isas"][-1]) == wanted


@pytest.mark.parametrize("isa", fastmlp.cpu_info()["isas"])
def test_sums_of_subnormal_products_are_not_subnormal_on_their_way(native, isa):
    # what takes Intel's CPUs a hundredfold, told by the CPU's own flag: a promise about time, without a clock
    done = subprocess.run([native, isa, "underflow"], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (f"isa {isa}\n", 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mprotect")
def test_no_kernel_touches_what_lies_beside_its_arrays(native):
    isas = fastmlp.cpu_info()["isas"]
    started = [
        subprocess.Popen([native, isa, "guard"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for isa in isas
    ]
    found = [(*process.communicate(), process.returncode) for process in started]
    assert found == [(f"isa {isa}\nnothing touched\n", "", 0) for isa in isas]
