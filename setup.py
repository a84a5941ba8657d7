"""The build of the extension modules; everything else stands in pyproject.toml."""

import os
import shutil
import sys
from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

if sys.platform == "win32":
    flags = ["/std:c11", "/O2", "/clang:-O3", "/clang:-ffp-contract=off"]
else:
    flags = [
        "-std=gnu11",
        "-O3",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-g0",
        "-fvisibility=hidden",
        "-pthread",
        "-Wall",
        "-Wextra",
    ]
flags += os.environ.get("FASTMLP_CFLAGS", "").split()  # -Werror in CI

SANITIZERS = {  # UBSan goes on after an error unless told not to; -O1, as a trace should name the line
    "": [],
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
}
sanitizer = os.environ.get("FASTMLP_SANITIZE", "")
if sanitizer not in SANITIZERS:
    sys.exit(f"FASTMLP_SANITIZE is {sanitizer!r}, and must be 'address', 'thread' or empty")
sanitize = SANITIZERS[sanitizer]
if sanitize:
    flags += [*sanitize, "-O1", "-g", "-fno-omit-frame-pointer"]

C_CORE = sorted(glob("csrc/*.c"))
DEPENDS = sorted(glob("csrc/*.h"))


def extension(name, sources=()):
    return Extension(
        f"fastmlp.{name}",
        [f"fastmlp/{name}.pyx", *sources],
        include_dirs=["csrc", numpy.get_include()],
        depends=DEPENDS,
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION")],
        extra_compile_args=flags,
        extra_link_args=[] if sys.platform == "win32" else ["-pthread", "-lm", *sanitize],
    )


class Build(build_ext):
    """With clang-cl in MSVC's place, as MSVC lacks C11 atomics and GNU attributes."""

    def build_extensions(self):
        if sys.platform == "win32":
            self.compiler.initialize()
            self.compiler.cc = shutil.which("clang-cl") or r"C:\Program Files\LLVM\bin\clang-cl.exe"
        super().build_extensions()


class SourceDistribution(sdist):
    """With the Cython sources, and all that the tests and benchmarks need."""

    def make_release_tree(self, base_dir, files):
        more = glob("fastmlp/*.p[xy][xd]") + glob("tests/*.*") + glob("bench/*.*") + ["CHANGELOG.md"]
        super().make_release_tree(base_dir, sorted({*files, *more}))


setup(
    options={"build": {"build_base": f"build/{sanitizer}"}},  # objects of other flags are not mistaken for these
    cmdclass={"build_ext": Build, "sdist": SourceDistribution},
    ext_modules=cythonize(
        [extension("_core", C_CORE), extension("kernels"), extension("_engine")],
        build_dir="build/cython",
        compiler_directives={"language_level": 3, "autotestdict": False},
    ),
)
