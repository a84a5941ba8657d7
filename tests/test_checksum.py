"""Stored checksums of trained networks: a version that changes results, even in the last bit, is found here.

`python tests/test_checksum.py` prints the checksums anew, for a version whose changelog says that results change.
"""

import hashlib
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from child import environment

import fastmlp
from fastmlp import MLP, SGD, Adam, AdamW, Lion, RMSprop, SiameseMLP, _core

ROWS, INPUTS = 150, 13
WEIGHTS = np.arange(1, ROWS + 1) % 7 / 4
MOMENTUM, PLAIN = SGD(0.02, momentum=0.9, nesterov=True, weight_decay=0.01), SGD(0.05)

# name -> sizes, activation, loss, optimizer, dtype, other settings of the network and of fit
NETWORKS = {
    "relu": ([INPUTS, 64, 33, 5], "relu", "softmax_cross_entropy", Adam(0.01), "float32"),
    "relu double": ([INPUTS, 64, 33, 5], "relu", "softmax_cross_entropy", Adam(0.01), "float64"),
    "tanh": ([INPUTS, 31, 3], "tanh", "squared_error", MOMENTUM, "float32"),
    "gelu": ([INPUTS, 33, 20], "gelu", "softmax_cross_entropy", AdamW(0.01), "float32"),
    "gelu double": ([INPUTS, 33, 20], "gelu", "binary_cross_entropy", AdamW(0.01), "float64"),
    "silu": ([INPUTS, 17, 17, 1], "silu", "binary_cross_entropy", Adam(0.01), "float32"),
    "elu and softplus": ([INPUTS, 16, 9, 2], ("elu", "softplus"), "softmax_cross_entropy", PLAIN, "float32"),
    "sigmoid double": ([INPUTS, 70, 4], "sigmoid", "squared_error", MOMENTUM, "float64"),
    "leaky_relu": ([INPUTS, 130, 2], "leaky_relu", "softmax_cross_entropy", MOMENTUM, "float32"),
    "siamese": ([INPUTS, 33, 15], "tanh", None, Adam(0.01), "float32"),
    "siamese double": ([INPUTS, 33, 15], "softplus", None, PLAIN, "float64"),
    "rmsprop": ([INPUTS, 17, 6], "relu", "focal", RMSprop(0.01, momentum=0.5), "float32", {"dropout": 0.25}),
    "lion": ([INPUTS, 33, 2], "gelu", "huber", Lion(0.01, clip_norm=0.5), "float32", {"init": "he_normal"}),
    "average": ([INPUTS, 20, 3], "tanh", "quantile", Adam(0.01, ema=0.9), "float64", {"init": "lecun_normal"}),
    "schedule": ([INPUTS, 20, 3], "silu", "poisson", SGD(fastmlp.Cosine(0.05, warmup=0.2)), "float32", {}),
    "one output": ([INPUTS, 33, 1], "relu", "absolute_error", Adam(fastmlp.OneCycle(0.05)), "float64", {}),
    "weights": ([INPUTS, 33, 1], "elu", "binary_focal", Adam(0.01), "float32", {"sample_weight": WEIGHTS}),
    "penalties": ([INPUTS, 80, 4], "relu", "softmax_cross_entropy", AdamW(0.01), "float64",
                  {"regularization": fastmlp.Regularization(0.001, 0.01, max_norm=1.0)}),
}  # fmt: skip

CHECKSUMS = {
    "relu": "78306433630392e4e858b0f1b91a4a93b444ecadff25a27f53b718edbbba22a3",
    "relu double": "0ea3daf7f96a38ba128cb8b7cc7488a7e1848abec1a9cd887ef7bd6ab419bfec",
    "tanh": "2dd2ca214c99fbea137517ca41bc04c14b0a2955e775a74dc41a0b69d55547b8",
    "gelu": "36112c7fcc0c17ceb9ffd87e7cf109bf063ef363dbec782e770d75768bfdbbd5",
    "gelu double": "2bc0814423a4b608110ebb11853dfda5f9ecdafbafc0df263915e7cb3a57d77d",
    "silu": "f3759f79123ddeb51ceefec3f6bcb06adeac0f0e2b48c0a9043318b299d1563b",
    "elu and softplus": "0c3c0db79dc4dca52bfa6544d0f49130ce69a2c9a6b28eb3c80b7d89192ea3f3",
    "sigmoid double": "64d9b27669493314ec616cc39a766be9a3257a8c63aef2791ecb5027792a0355",
    "leaky_relu": "6051b7a4abd7dd340837fec1c985ff73d5e070ce210d5960304d2cf795808497",
    "siamese": "55d8bbe5de88a2e555e4fe6904760ca60271bb546c168ffda60b778ece708030",
    "siamese double": "596c11dffe2fb7ae2bbc7c440782afbccee0560c8fcaf143180ae4a106a2a0b3",
    "rmsprop": "d901b804dc63b52835f424f0b2fffebe8a61b5678dfe1ff8390a642415081670",
    "lion": "66ec42889245a67d7b94e307eb7f8cdac22c3129aa3dd25f8b818122b5002b2e",
    "average": "f97bd498af775728380c4b8d9c288e5345c5f14f11c94e20ec4b03d4104f7ca6",
    "schedule": "01174a8a83627fc7e5ebde7204be773d617064c5762ffc82f753fb318e8d780b",
    "one output": "b818dbee8299076dcbdf31b17adc79d28ab08d4dbb4398d962323ce019f0c3e4",
    "weights": "bb9d78b357ab516d512472fabb81351721c655ac61c550bfd451d1f6c83f190e",
    "penalties": "add2df71b721d7faf0843ea0cf08922e9ca7d697292f586cc520d42379397ae4",
}


def trained(sizes, activation, loss, optimizer, dtype, more=None):
    """A network after three epochs on data that NumPy's generators have no part in."""
    X = _core.uniform(ROWS * INPUTS, 2.0, 1, 0).reshape(ROWS, INPUTS).astype(dtype)
    kinds, of_fit = np.arange(ROWS) * 7 % sizes[-1], dict(more or {})
    built = {name: of_fit.pop(name) for name in ("dropout", "init") if name in of_fit}
    if loss is None:
        net, X, y = SiameseMLP(sizes, activation=activation, dtype=dtype, seed=3), (X, X[::-1].copy()), kinds % 2
    else:
        net = MLP(sizes, activation=activation, loss=loss, dtype=dtype, seed=3, **built)
        one_hot = (kinds[:, None] == np.arange(sizes[-1])).astype(dtype)
        y = kinds if loss in ("softmax_cross_entropy", "focal") else one_hot
    net.fit(X, y, epochs=3, batch_size=32, optimizer=optimizer, **of_fit)
    return net


def checksums():
    """SHA-256 of the little-endian bytes of weights and biases, without padding."""
    found = {}
    for name, settings in NETWORKS.items():
        net, h = trained(*settings), hashlib.sha256()
        for a in (*net.weights, *net.biases):
            if a is not None:
                h.update(a.astype(a.dtype.newbyteorder("<")).tobytes())
        found[name] = h.hexdigest()
    return found


def in_a_child(isa):
    """The checksums under FASTMLP_ISA, away from the source tree."""
    here = pathlib.Path(__file__).resolve()
    child = subprocess.run(
        [sys.executable, str(here)], env=environment(FASTMLP_ISA=isa), cwd=here.parent, capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


@pytest.mark.parametrize("isa", [None, *_core.supported_isas()])
def test_trained_networks_are_those_of_the_versions_before(isa):
    found = checksums() if isa is None else in_a_child(isa)
    changed = [name for name in NETWORKS if found[name] != CHECKSUMS.get(name)]
    assert not changed, (
        f"training gives other bits than before: {changed}. If that is meant, CHANGELOG.md must say that results "
        "changed, and what `python tests/test_checksum.py` prints belongs in CHECKSUMS"
    )


def test_no_two_networks_are_alike():
    # a checksum that saw nothing of its network would never change
    assert len(set(CHECKSUMS.values())) == len(NETWORKS) == len(CHECKSUMS)


if __name__ == "__main__":
    print(json.dumps(checksums(), indent=4))  # a Python dict as well
