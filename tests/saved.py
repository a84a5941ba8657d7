"""What the tests of saved networks share."""

import os

import pytest

from fastmlp import MLP, SGD, FormatError, load


def save_small(path):
    """A small network with all that a file can hold, and its file."""
    net = MLP([1, 2], seed=1)
    net.fit([[1.0], [2.0]], [0, 1], epochs=1, optimizer=SGD(0.1, momentum=0.5))
    net.metadata = {"a": [1.5, "b"]}
    net.save(path)
    return net, path


def facts(net):
    """Everything that a network is, comparable by ==."""
    state = net.optimizer_state()
    names = ("sizes", "activations", "output_activation", "objective", "bias", "dtype", "seed", "dropout", "init")
    names += ("loss", "epochs_done", "metadata")
    tensors = [array.tobytes() for array in (*net.weights, *net.biases) if array is not None]
    slots = [slot.tobytes() for slot in state.pop("slots")]
    return type(net), [getattr(net, name) for name in names], tensors, state, slots


class Numbered:
    """A path that has a new name each time it is asked for: so that every checkpoint stays."""

    def __init__(self, folder, suffix):
        self.folder, self.suffix, self.names = folder, suffix, []

    def __fspath__(self):
        self.names.append(str(self.folder / f"{len(self.names)}{self.suffix}"))
        return self.names[-1]

    def written(self):
        return [name for name in self.names if os.path.exists(name)]


def refused(path, data, message=""):
    """What `load` says of a file of these bytes: a FormatError that names it, in one short line."""
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)
    return str(caught.value)
