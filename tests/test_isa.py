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

import fastmlp

HERE = pathlib.Path(__file__).resolve().parent
CSRC = HERE.parent / "csrc"


def python(*arguments, cwd, isa=None):
    """A child with FASTMLP_ISA set, away from the source tree, that imports the package under test."""
    env = {k: v for k, v in os.environ.items() if k != "FASTMLP_ISA"}
    env["PYTHONPATH"] = str(pathlib.Path(fastmlp.__file__).parent.parent)
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
    env = os.environ | {"PYTHONPATH": str(pathlib.Path(fastmlp.__file__).parent.parent)}
    old = ["qemu-x86_64", "-cpu", "Nehalem", sys.executable, "-c", TRAIN]
    found = subprocess.run(old, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    known = python("-c", TRAIN, cwd=tmp_path).stdout.split()
    assert found.stdout.split() == ["scalar", known[-1]]
    assert known[-2] == fastmlp.cpu_info()["isas"][-1]


# The C core alone, without Python: isa_driver.c prints a hash per case, here and for a CPU of another kind.


def drivers(tmp_path, **compilers):
    """Starts a compiler for each name and waits for all: the paths of what they built."""
    sources = [str(HERE / "isa_driver.c"), *sorted(glob.glob(str(CSRC / "*.c")))]
    flags = ["-std=gnu11", "-O2", "-ffp-contract=off", "-pthread", "-static", f"-I{CSRC}"]
    paths = {name: str(tmp_path / name) for name in compilers}
    started = [
        subprocess.Popen([compiler, *flags, *sources, "-o", paths[name], "-lm"], stderr=subprocess.PIPE, text=True)
        for name, compiler in compilers.items()
    ]
    for process in started:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    return paths.values()


def run(*command):
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    header, *lines = found.stdout.splitlines()
    assert header == f"isa {command[-1]}"
    assert len(lines) > 500
    return lines


@pytest.mark.skipif(not CSRC.is_dir(), reason="the C sources are not beside the tests")
def test_neon_has_the_bits_of_the_scalar_path_and_of_x86(tmp_path):
    cross, qemu, native = (shutil.which(name) for name in ("aarch64-linux-gnu-gcc", "qemu-aarch64", "cc"))
    if not (cross and qemu and native):
        pytest.skip("needs cc, aarch64-linux-gnu-gcc and qemu-aarch64")
    here, there = drivers(tmp_path, here=native, there=cross)
    wanted = run(here, "scalar")
    assert run(qemu, there, "neon") == wanted
    assert run(qemu, there, "scalar") == wanted
    assert run(here, fastmlp.cpu_info()["isas"][-1]) == wanted


@pytest.mark.skipif(not (CSRC.is_dir() and sys.platform.startswith("linux")), reason="needs C sources and mprotect")
def test_no_kernel_touches_what_lies_beside_its_arrays(tmp_path):
    native = shutil.which("cc")
    if not native:
        pytest.skip("needs cc")
    (driver,) = drivers(tmp_path, here=native)
    for isa in fastmlp.cpu_info()["isas"]:
        found = subprocess.run([driver, isa, "guard"], capture_output=True, text=True)
        assert (found.returncode, found.stdout) == (0, f"isa {isa}\nnothing touched\n"), isa
