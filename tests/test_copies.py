"""Copies and pickles of networks are networks: equal, apart, and made of checked bytes alone."""

import copy
import pickle
import pickletools

import numpy as np
import pytest
from saved import facts

from fastmlp import MLP, Adam, FormatError, SiameseMLP, handmade, saving

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {p}": lambda net, p=p: pickle.loads(pickle.dumps(net, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)},
}


def trained(build):
    net = build()
    X, y = np.arange(12.0).reshape(6, 2), np.arange(6) % 2
    net.fit((X, X[::-1]) if isinstance(net, SiameseMLP) else X, y, epochs=2, batch_size=4, optimizer=Adam())
    net.metadata = {"a": [1.5, "b"]}
    return net


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("build", [lambda: MLP([2, 5, 2], seed=9), lambda: SiameseMLP([2, 3], dtype="f8")])
def test_a_copy_is_equal_and_apart(build, how):
    net = trained(build)
    was, again = facts(net), COPIES[how](net)
    assert facts(again) == was
    again.params += 1
    again.metadata["a"].append(2)
    again.reset_optimizer()
    assert facts(net) == was


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_trains_on_to_the_same_bits(how):
    net = trained(lambda: MLP([2, 5, 2], seed=9))
    again = COPIES[how](net)
    for one in (net, again):
        one.fit(np.eye(2), [0, 1], epochs=3, optimizer=Adam())
    assert facts(again) == facts(net)


def test_a_network_without_a_gradient_copies_too():
    assert copy.deepcopy(handmade.all_distinct(4))([1.0, 2.0, 3.0, 4.0]) == 1


def test_a_pickle_names_one_function_and_carries_bytes():
    found = list(pickletools.genops(pickle.dumps(trained(lambda: MLP([2, 5, 2])), 2)))
    assert [argument for opcode, argument, _ in found if opcode.name == "GLOBAL"] == [
        "fastmlp.saving from_bytes",
        "_codecs encode",  # protocol 2 spells bytes as a text of Latin-1
    ]


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"\x80\x04N.", "text", None, 3])
def test_other_bytes_are_refused(data):
    with pytest.raises(FormatError):
        saving.from_bytes(data)


def test_a_subclass_has_to_say_how():
    class Mine(MLP):
        pass

    with pytest.raises(TypeError, match="a Mine does not know how to be copied or pickled"):
        copy.copy(Mine([1, 2]))
