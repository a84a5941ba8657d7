"""Random networks, each asked in every way that must give the same bits: `python contract_cases.py FIRST COUNT`.

Prints a digest per case, of all bits that it came to, so that runs under several ISAs can be compared.
"""

import dataclasses
import hashlib
import os
import sys
import tempfile

import numpy as np

import fastmlp

ACTIVATIONS = ("identity", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid")
LOSSES = {
    "softmax_cross_entropy": ("softmax_cross_entropy", fastmlp.losses.SoftmaxCrossEntropy(0.1), "focal"),
    "binary_cross_entropy": ("binary_cross_entropy", fastmlp.losses.BinaryCrossEntropy(0.2), "binary_focal"),
    "squared_error": (
        "squared_error",
        "absolute_error",
        fastmlp.losses.Huber(0.5),
        fastmlp.losses.Quantile(0.8),
        "poisson",
    ),
}
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 128, 129)


def draw(rng):
    """A function that builds the network, its data, its optimizer and what else fit takes."""
    width = lambda: int(rng.choice(WIDTHS))  # noqa: E731
    dtype, bias, seed = str(rng.choice(["float32", "float64"])), bool(rng.random() < 0.8), int(rng.integers(2**63))
    hidden = [width() for _ in range(rng.integers(0, 4))]
    inputs = width() if rng.random() < 0.9 else 700
    if rng.random() < 0.25:
        sizes, loss = [inputs, *(hidden or [width()])], "siamese"
        activation = [str(a) for a in rng.choice(ACTIVATIONS, len(sizes) - 1)]
        settings = {"activation": activation, "bias": bias, "dtype": dtype, "seed": seed}
        build, outputs = (lambda: fastmlp.SiameseMLP(sizes, **settings)), 1
    else:
        loss = str(rng.choice(list(LOSSES)))
        objective = LOSSES[loss][0 if rng.random() < 0.5 else rng.integers(len(LOSSES[loss]))]
        outputs = max(width(), 2 if loss == "softmax_cross_entropy" else 1)
        sizes, activation = [inputs, *hidden, outputs], [str(a) for a in rng.choice(ACTIVATIONS, len(hidden))]
        settings = {"activation": activation, "loss": objective, "bias": bias, "dtype": dtype, "seed": seed}
        if rng.random() < 0.25:
            settings |= {"dropout": [float(p) for p in rng.choice([0, 0.1, 0.5], len(hidden))], "init": "lecun_normal"}
        build = lambda: fastmlp.MLP(sizes, **settings)  # noqa: E731
    rows = int(rng.choice([1, 2, 15, 16, 33, 120, 300, 700]))
    spread = 10.0 ** rng.uniform(-2, 1)
    kept = rng.choice([0.9, 0.3])  # of the inputs: many zeros are skipped in a row by itself
    X = [
        (spread * rng.normal(size=(rows, inputs)) * (rng.random((rows, inputs)) < kept)).astype(dtype) for _ in range(2)
    ]
    if loss == "softmax_cross_entropy":
        y = rng.integers(0, outputs, rows)
    elif loss == "squared_error":
        y = rng.normal(size=(rows, outputs)).astype(dtype)
        y = np.floor(abs(y)) if objective == "poisson" else y
    else:
        y = rng.integers(0, 2, rows if loss == "siamese" else (rows, outputs))
    decay = float(rng.choice([0, 1e-3]))
    optimizer = [
        fastmlp.SGD(1e-2, momentum=float(rng.choice([0, 0.9])), nesterov=bool(rng.integers(2)), weight_decay=decay),
        fastmlp.Adam(10.0 ** rng.uniform(-4, -1), weight_decay=decay),
        fastmlp.AdamW(1e-3, beta1=0.5),
        fastmlp.RMSprop(1e-3, momentum=float(rng.choice([0, 0.9])), weight_decay=decay),
        fastmlp.Lion(1e-3, weight_decay=decay),
    ][rng.integers(5)]
    how = {}
    if rng.random() < 0.25:
        optimizer = dataclasses.replace(optimizer, clip_norm=10.0 ** rng.uniform(-2, 1))
    if rng.random() < 0.1:
        optimizer = dataclasses.replace(optimizer, ema=0.9)
    if rng.random() < 0.25:
        l1, l2 = (float(x) for x in rng.choice([0, 1e-3, 1e-2], 2))
        how["regularization"] = fastmlp.Regularization(l1, l2, max_norm=[None, 1.0][rng.integers(2)])
    if rng.random() < 0.25:
        how["sample_weight"] = rng.uniform(0.5, 2, rows)
    return build, (tuple(X) if loss == "siamese" else X[0]), y, {"optimizer": optimizer, **how}


def facts(net):
    """All bits that training leaves."""
    state = net.optimizer_state()
    arrays = [net.params, *state["slots"]]
    return b"".join(array.tobytes() for array in arrays) + repr((state["steps"], state["beta_powers"])).encode()


def part(X, which):
    return tuple(x[which] for x in X) if isinstance(X, tuple) else X[which]


def case(number):
    """Ask one network in every way; the digest of what it says and becomes."""
    rng = np.random.default_rng([2026, number])
    build, X, y, settings = draw(rng)
    rows = len(y)
    settings["batch_size"] = int(rng.integers(1, rows + 1))
    goes_on = settings["optimizer"].ema is None  # else fit ends with the average, and the next one starts there

    def trained(legs, threads, **more):
        """fit on a network of its own, in so many calls; what it became, or where it stopped being finite."""
        net = build()
        try:
            for epochs in legs:
                net.fit(X, y, epochs=epochs, threads=threads, **settings, **more)
        except FloatingPointError:
            legs = []
        return net, facts(net) + bytes([not legs])

    threads = int(rng.integers(2, 5))
    net, became = trained([3], 1)
    assert trained([3], threads)[1] == became, "threads change what is learnt"
    assert not goes_on or trained([1, 2], None)[1] == became, "two calls of fit differ from one"
    if number % 4 == 0 and not became[-1] and goes_on:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "checkpoint.npz")
            half = build()
            every = int(rng.integers(1, 1 + -(-rows // settings["batch_size"])))
            half.fit(X, y, epochs=2, checkpoint=path, checkpoint_every=every, **settings)
            half = fastmlp.load(path)
            half.fit(X, y, epochs=1, **settings)
            assert facts(half) + b"\0" == became, "a network that was saved learns otherwise"
    outputs = {}
    for n in (1, threads):
        fastmlp.set_num_threads(n)
        outputs[n] = net(X)
    assert outputs[1].tobytes() == outputs[threads].tobytes(), "threads change the outputs"
    for row in rng.integers(0, rows, 5):
        assert net(part(X, row)).tobytes() == outputs[1][row].tobytes(), "a row alone differs"
    cut = int(rng.integers(0, rows + 1))
    pieces = [net(part(X, slice(*ends))) for ends in ((0, cut), (cut, rows))]
    assert np.concatenate(pieces).tobytes() == outputs[1].tobytes(), "pieces of a batch differ"
    order = rng.permutation(rows)
    assert net(part(X, order)).tobytes() == outputs[1][order].tobytes(), "the order of the rows matters"
    return hashlib.sha256(became + outputs[1].tobytes()).hexdigest()[:16]


if __name__ == "__main__":
    first, count = map(int, sys.argv[1:])
    for number in range(first, first + count):
        try:
            print(number, case(number), flush=True)
        except AssertionError as error:
            sys.exit(f"case {number}: {error}")
