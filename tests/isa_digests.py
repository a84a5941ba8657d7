"""Run by test_isa.py once per ISA: every kernel and the training of several networks, each as a digest of its bits."""

import hashlib
import itertools
import json

import numpy as np
from oracle import ACTIVATIONS, DIFFERENTIABLE, LOSSES, OF_CLASSES, SIZES, targets

import fastmlp
from fastmlp import MLP, SGD, Adam, AdamW, Lion, RMSprop, SiameseMLP, kernels


class Digests:
    """SHA-256 per name, over the bytes of the arrays added under it; a NaN is a NaN."""

    def __init__(self):
        self.hashes = {}

    def add(self, name, *arrays):
        h = self.hashes.setdefault(name, hashlib.sha256())
        for a in arrays:
            a = np.array(a)
            a[np.isnan(a)] = np.nan
            h.update(f"{a.dtype}{a.shape}".encode() + a.tobytes())


def values(rng, *shape, dtype):
    """Numbers of many magnitudes, some exactly 0."""
    a = rng.normal(size=shape) * np.exp2(rng.integers(-5, 6, size=shape))
    return np.where(rng.random(shape) < 0.1, 0, a).astype(dtype)


def specials(dtype):
    info = np.finfo(dtype)
    edges = [
        0,
        info.smallest_subnormal,
        info.tiny / 3,
        info.tiny,
        info.eps,
        1,
        87,
        88.8,
        104,
        709.5,
        746,
        1e4,
        1e30,
        info.max,
    ]
    edges = np.array([*edges, np.inf, np.nan]).astype(dtype)
    return np.concatenate([edges, -edges])


def products(digests, rng, dtype):
    for rows, inputs, outputs in itertools.product(SIZES, SIZES, SIZES):
        X, W, b = (values(rng, *s, dtype=dtype) for s in ((rows, inputs), (outputs, inputs), (outputs,)))
        digests.add(f"matmul {dtype}", kernels.matmul(X, W, b), kernels.matmul(X, W))
        digests.add(f"outer_gradient {dtype}", *kernels.outer_gradient(values(rng, rows, outputs, dtype=dtype), X))
        digests.add(f"matvec {dtype}", kernels.matvec(W, X[0], b), kernels.matvec(W, X[0], None, "relu"))
    X, W, b = values(rng, 33, 17, dtype=dtype), values(rng, 97, 17, dtype=dtype), values(rng, 97, dtype=dtype)
    for activation in ACTIVATIONS:
        digests.add(f"matmul {activation} {dtype}", kernels.matmul(X, W, b, activation))


def elementwise(digests, rng, dtype):
    z = np.concatenate(
        [specials(dtype), rng.normal(size=3000) * 4, np.exp2(rng.uniform(-140, 10, 3000)), rng.uniform(-110, 110, 3000)]
    )
    with np.errstate(all="ignore"):
        z = np.concatenate([z, -z]).astype(dtype)
    names = [*ACTIVATIONS, "relu_mask", *(f"{name}_derivative" for name in (*DIFFERENTIABLE, "exp"))]
    for name in names:
        kernel = getattr(kernels, name)
        digests.add(f"{name} {dtype}", kernel(z), *(kernel(z[:n]) for n in SIZES))


def losses(digests, rng, dtype):
    for K in (1, 2, *SIZES[1:], 100):
        z = values(rng, 37, K, dtype=dtype) * dtype.type(3)
        z[3, 0], z[5], z[7, -1], z[9, K // 2], z[11, 0] = -np.inf, -np.inf, np.inf, np.nan, 1e30
        y, t = rng.random((37, K)).astype(dtype), rng.integers(0, K, 37)
        for name in ("logsumexp", "softmax", "log_softmax"):
            digests.add(f"{name} {dtype}", getattr(kernels, name)(z), getattr(kernels, name)(z[0]))
        for name in LOSSES:
            whole = (y > 0.5).astype(dtype) if name == "binary_focal" else y
            found = getattr(kernels, name)(z, t if name in OF_CLASSES else whole)
            digests.add(f"{name} {dtype}", *found)
        digests.add(f"smooth {dtype}", *kernels.softmax_cross_entropy(z, t, label_smoothing=0.1))
        digests.add(f"smooth {dtype}", *kernels.binary_cross_entropy(z, y, label_smoothing=0.1))


def trained(digests, name, net, X, y, optimizer, rng):
    history = net.fit(X, y, epochs=10, batch_size=13, optimizer=optimizer)
    digests.add(name, net.params, net.grads, history.loss, net(X))
    if net.loss in (*OF_CLASSES, "binary_cross_entropy", "binary_focal"):
        digests.add(name, net.predict_proba(X))
    digests.add(name, net.backward(X, rng.normal(size=net(X).shape)), net.grads)


def networks(digests, rng, dtype):
    optimizers = [
        SGD(0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
        Adam(0.01, clip_norm=0.5),
        AdamW(0.01),
        SGD(0.05),
        RMSprop(0.01, momentum=0.5, ema=0.9),
        Lion(0.001),
    ]
    X = values(rng, 61, 7, dtype=dtype) / dtype.type(8)
    for i, activation in enumerate(DIFFERENTIABLE):
        for loss in LOSSES:
            sizes = [7, (15, 16, 17, 33)[i % 4], (31, 65, 1)[i % 3], (2, 3, 5, 17)[i % 4]]
            net = MLP(sizes, activation=activation, loss=loss, bias=i % 4 != 3, dtype=dtype, seed=i, dropout=i % 3 / 4)
            y = targets(rng, loss, 61, sizes[-1], dtype)
            inputs = X / dtype.type(16) if loss == "poisson" else X  # whose exponentials would overflow
            trained(digests, f"{activation} {loss} {dtype}", net, inputs, y, optimizers[(i + len(loss)) % 6], rng)
        net = SiameseMLP([7, 33, 15], activation=activation, dtype=dtype, seed=i)
        trained(
            digests,
            f"siamese {activation} {dtype}",
            net,
            (X, X[::-1].copy()),
            rng.integers(0, 2, 61),
            optimizers[i % 4],
            rng,
        )
        digests.add(
            f"rows {activation} {dtype}", *(MLP([7, 97, 63, 5], activation=activation, dtype=dtype)(x) for x in X[:5])
        )


def wide(digests, rng, dtype):
    """Several tiles, panels and blocks of rows, a leading dimension that makes way for a power of two, two threads."""
    X = values(rng, 240, 30, dtype=dtype) / dtype.type(8)
    for i, sizes in enumerate(([30, 256, 129, 4], [30, 65, 300, 2], [30, 512, 5])):
        net = MLP(sizes, activation=DIFFERENTIABLE[i + 1], dtype=dtype, seed=i)
        net.fit(X, rng.integers(0, sizes[-1], 240), epochs=3, batch_size=113, threads=i % 2 + 1)
        digests.add(f"wide {sizes} {dtype}", net.params, net.grads, net(X), net(X[0]))


def not_a_number(digests, rng, dtype):
    """A NaN at every position of rows of every length."""
    for length in range(1, 68):
        X = values(rng, length + 1, length, dtype=dtype)
        X[np.arange(length), np.arange(length)] = np.nan
        net = MLP([length, 97, 68 - length, 2], activation=DIFFERENTIABLE[length % 9], dtype=dtype)
        digests.add(f"nan {dtype}", net(X), net.predict_proba(X), *(net(x) for x in X))
        digests.add(f"nan relu {dtype}", *(kernels.relu(x) for x in -np.abs(X)))


def main():
    digests = Digests()
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        for part in (products, elementwise, losses, networks, wide, not_a_number):
            part(digests, np.random.default_rng(8), dtype)
    print(
        json.dumps({"isa": fastmlp.cpu_info()["isa"], "digests": {k: h.hexdigest() for k, h in digests.hashes.items()}})
    )


if __name__ == "__main__":
    main()
