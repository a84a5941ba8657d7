"""What the tests share that run a program of their own."""

import os
import pathlib

import fastmlp

PACKAGE = pathlib.Path(fastmlp.__file__).parent.parent  # where the package under test lies, installed or not


def environment(*folders, **variables):
    """The environment of a process that imports the package under test, and from these folders, wherever it starts."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (PACKAGE, *folders)))} | variables
