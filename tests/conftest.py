"""What all tests share: the installed package in sight, awkward sizes, both element types."""

import importlib.machinery
import os
import pathlib
import sys

import hypothesis
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# `python -m pytest` puts the clone's root first on sys.path, where a source folder without compiled modules would stand
# before the installed package.
if not any((ROOT / "fastmlp" / f"_core{suffix}").exists() for suffix in importlib.machinery.EXTENSION_SUFFIXES):
    sys.path[:] = [entry for entry in sys.path if pathlib.Path(entry or os.curdir).resolve() != ROOT]

hypothesis.settings.register_profile("fastmlp", deadline=None, derandomize=True, max_examples=40, database=None)
hypothesis.settings.load_profile("fastmlp")


sys.path.insert(0, str(ROOT / "tests"))  # oracle.py, whatever pytest's import mode


def pytest_addoption(parser):
    parser.addoption("--cases", type=int, default=300, help="random networks that test_contract.py draws (300)")
    parser.addoption("--exhaustive", action="store_true", help="also what takes many minutes, as all 2^32 float32")


def pytest_configure(config):
    config.addinivalue_line("markers", "exhaustive: takes many minutes; run with --exhaustive only")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--exhaustive"):
        for item in items:
            if item.get_closest_marker("exhaustive"):
                item.add_marker(pytest.mark.skip(reason="takes many minutes: --exhaustive runs it"))


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(params=[1, 3, 7, 15, 16, 17, 31, 33, 63, 65, 97])
def size(request):
    """Sizes around one and several vectors and tiles of every ISA."""
    return request.param


@pytest.fixture
def rng(request):
    return np.random.default_rng(list(request.node.name.encode()))
