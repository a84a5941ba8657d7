"""The NumPy twin of every kernel and of the networks, in float64: the readable specification and the tests' oracle.

Names, arguments and shapes are those of `fastmlp.kernels`; below them stand a network's forward pass, its loss and
gradients, and the optimizers' formulas. Inputs of any real dtype are converted to float64 and results are float64.
Nothing here is fast, writes to `out=`, checks its arguments or gives the bits that the C core gives: NumPy sums in an
order of its own and has no fused multiply-add.

    X, dX (B, I)    W, dW (O, I)    b, db (O,)    z, dz (B, O)    t (B,) integers    B batch, I inputs, O outputs
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Layers = Sequence[Array]
Biases = Sequence[Array | None]  # None for a layer without
Names = Sequence[str]
Gradients = list[tuple[Array, Array]]

_erfc = np.vectorize(math.erfc, otypes=[float])
_quiet = np.errstate(all="ignore")  # NaN and infinity are answers here, not accidents


def _f64(x: ArrayLike) -> Array:
    return np.asarray(x, np.float64)


def _apply(name: str, z: Array) -> Array:
    """An activation or a derivative by its name."""
    h: Array = globals()[name](z)
    return h


# Activations and their derivatives, element by element.


def identity(z: ArrayLike) -> Array:
    return _f64(z).copy()


def identity_derivative(z: ArrayLike) -> Array:
    return np.ones_like(_f64(z))


def relu(z: ArrayLike) -> Array:
    """max(0, z); NaN stays NaN and -0 becomes +0."""
    return np.where(_f64(z) <= 0, 0.0, _f64(z))


def relu_mask(z: ArrayLike) -> Array:
    """1 where z > 0, else 0: the derivative of relu, with 0 taken at 0."""
    return _f64(_f64(z) > 0)


def leaky_relu(z: ArrayLike) -> Array:
    return np.where(_f64(z) > 0, _f64(z), 0.01 * _f64(z))


def leaky_relu_derivative(z: ArrayLike) -> Array:
    return np.where(_f64(z) > 0, 1.0, 0.01)


@_quiet
def elu(z: ArrayLike) -> Array:
    return np.where(_f64(z) > 0, _f64(z), np.expm1(_f64(z)))


@_quiet
def elu_derivative(z: ArrayLike) -> Array:
    return np.where(_f64(z) > 0, 1.0, np.exp(_f64(z)))


def gelu(z: ArrayLike) -> Array:
    """z Phi(z), with Phi the normal distribution function: exact (Hendrycks & Gimpel 2016)."""
    return _f64(_f64(z) * _erfc(-_f64(z) / math.sqrt(2)) / 2)


@_quiet
def gelu_derivative(z: ArrayLike) -> Array:
    z = _f64(z)
    return _f64(0.5 * _erfc(-z / math.sqrt(2)) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi))


@_quiet
def sigmoid(z: ArrayLike) -> Array:
    e = np.exp(-np.abs(_f64(z)))
    return _f64(np.where(_f64(z) >= 0, 1.0, e) / (1 + e))


def sigmoid_derivative(z: ArrayLike) -> Array:
    return sigmoid(z) * sigmoid(-_f64(z))


def silu(z: ArrayLike) -> Array:
    return _f64(z) * sigmoid(z)


def silu_derivative(z: ArrayLike) -> Array:
    return sigmoid(z) + _f64(z) * sigmoid_derivative(z)


@_quiet
def softplus(z: ArrayLike) -> Array:
    return np.logaddexp(0.0, _f64(z))


def tanh(z: ArrayLike) -> Array:
    return _f64(np.tanh(_f64(z)))


@_quiet
def tanh_derivative(z: ArrayLike) -> Array:
    return _f64(1 / np.cosh(_f64(z)) ** 2)


def impulse(z: ArrayLike) -> Array:
    """1 at 0, else 0. No derivative of use, hence none here."""
    return _f64(_f64(z) == 0)


def heaviside(z: ArrayLike) -> Array:
    """1 for z >= 0, else 0. No derivative of use, hence none here."""
    return _f64(_f64(z) >= 0)


@_quiet
def exp(z: ArrayLike) -> Array:
    return _f64(np.exp(_f64(z)))


relu_derivative, softplus_derivative, exp_derivative = relu_mask, sigmoid, exp

# Products.


def matvec(W: ArrayLike, x: ArrayLike, b: ArrayLike | None = None, activation: str = "identity") -> Array:
    """activation(W x + b): (O, I), (I,), (O,) -> (O,)."""
    return _f64(matmul(_f64(x)[None], W, b, activation)[0])


def matmul(X: ArrayLike, W: ArrayLike, b: ArrayLike | None = None, activation: str = "identity") -> Array:
    """activation(X W^T + b): (B, I), (O, I), (O,) -> (B, O)."""
    return _apply(activation, _f64(X) @ _f64(W).T + (0.0 if b is None else _f64(b)))


def outer_gradient(dz: ArrayLike, X: ArrayLike) -> tuple[Array, Array]:
    """dW = dz^T X and db = the sum of dz's rows: (B, O), (B, I) -> (O, I), (O,)."""
    return _f64(dz).T @ _f64(X), _f64(dz).sum(axis=0)


# Reductions of a row of logits and losses of a row. One row (K,) is allowed wherever (B, K) stands.


@_quiet
def logsumexp(z: ArrayLike) -> Array:
    """log sum exp(z): (B, K) -> (B,). Finite for every finite z."""
    a = _f64(z).max(axis=-1)
    return _f64(np.where(np.isfinite(a), a + np.log(np.exp(_f64(z) - a[..., None]).sum(axis=-1)), a))


@_quiet
def softmax(z: ArrayLike) -> Array:
    e = np.exp(_f64(z) - _f64(z).max(axis=-1, keepdims=True))
    return _f64(e / e.sum(axis=-1, keepdims=True))


@_quiet
def log_softmax(z: ArrayLike) -> Array:
    z = _f64(z) - _f64(z).max(axis=-1, keepdims=True)
    return _f64(z - np.log(np.exp(z).sum(axis=-1, keepdims=True)))


@_quiet
def softmax_cross_entropy(z: ArrayLike, t: ArrayLike, label_smoothing: float = 0.0) -> tuple[Array, Array]:
    """-sum of w log softmax(z), w = onehot(t) smoothed, and softmax(z) - w: (B, K), (B,) -> (B,), (B, K)."""
    K = np.shape(z)[-1]
    w = (1 - label_smoothing) * (np.arange(K) == np.asarray(t)[..., None]) + label_smoothing / K
    return -np.where(w > 0, w * log_softmax(z), 0).sum(axis=-1), softmax(z) - w


@_quiet
def focal(z: ArrayLike, t: ArrayLike, gamma: float = 2.0) -> tuple[Array, Array]:
    """-(1 - p)^gamma log p with p = softmax(z)[t], and its derivative by z: (B, K), (B,) -> (B,), (B, K)."""
    t = np.asarray(t)[..., None]
    p, log_p = np.take_along_axis(softmax(z), t, axis=-1), np.take_along_axis(log_softmax(z), t, axis=-1)
    by_p = gamma * (1 - p) ** (gamma - 1) * log_p - (1 - p) ** gamma / p
    onehot = np.arange(np.shape(z)[-1]) == t
    return -((1 - p) ** gamma * log_p)[..., 0], by_p * p * (onehot - softmax(z))


@_quiet
def binary_cross_entropy(z: ArrayLike, y: ArrayLike, label_smoothing: float = 0.0) -> tuple[Array, Array]:
    """-[y log s + (1 - y) log(1 - s)] with s = sigmoid(z) and y smoothed, summed over a row's outputs, and s - y."""
    z, y = _f64(z), (1 - label_smoothing) * _f64(y) + label_smoothing / 2
    return (np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))).sum(axis=-1), sigmoid(z) - y


def squared_error(z: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """||z - y||^2 / 2 per row, and z - y: (B, K), (B, K) -> (B,), (B, K)."""
    dz = _f64(z) - _f64(y)
    return (dz * dz).sum(axis=-1) / 2, dz


@_quiet
def binary_focal(z: ArrayLike, y: ArrayLike, gamma: float = 2.0) -> tuple[Array, Array]:
    """-(1 - p)^gamma log p with p = sigmoid(+-z) for y = 1 or 0, summed over a row's outputs, and its derivative."""
    sign = 2 * _f64(y) - 1
    p = sigmoid(sign * _f64(z))
    log_p = -softplus(-sign * _f64(z))
    by_p = gamma * (1 - p) ** (gamma - 1) * log_p - (1 - p) ** gamma / p
    return -((1 - p) ** gamma * log_p).sum(axis=-1), by_p * sign * p * (1 - p)


def absolute_error(z: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """The sum of abs(z - y) over a row, and sign(z - y)."""
    d = _f64(z) - _f64(y)
    return np.abs(d).sum(axis=-1), np.sign(d)


def huber(z: ArrayLike, y: ArrayLike, delta: float = 1.0) -> tuple[Array, Array]:
    """The sum of d^2 / 2, or delta (abs(d) - delta / 2) beyond delta, over a row, d = z - y; and d cut to +-delta."""
    d = _f64(z) - _f64(y)
    terms = np.where(np.abs(d) <= delta, d * d / 2, delta * (np.abs(d) - delta / 2))
    return terms.sum(axis=-1), np.clip(d, -delta, delta)


def quantile(z: ArrayLike, y: ArrayLike, q: float = 0.5) -> tuple[Array, Array]:
    """The sum of max(q (y - z), (1 - q) (z - y)) over a row, and -q below y, 1 - q above, 0 at y."""
    d = _f64(z) - _f64(y)
    return np.maximum(-q * d, (1 - q) * d).sum(axis=-1), np.where(d > 0, 1 - q, np.where(d < 0, -q, 0.0))


@_quiet
def poisson(z: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """The sum of y log(y / mu) - y + mu over a row, mu = exp(z), and mu - y."""
    z, y = _f64(z), _f64(y)
    return (np.where(y > 0, y * (np.log(np.where(y > 0, y, 1)) - z), 0) - y + np.exp(z)).sum(axis=-1), np.exp(z) - y


# Networks: weights[l] (O, I), biases[l] (O,) or None, activations[l] the name of layer l's activation.


def forward(weights: Layers, biases: Biases, activations: Names, X: ArrayLike) -> tuple[list[Array], list[Array]]:
    """Pre-activations and activations, one of each per layer; the activations start with X itself."""
    z, h = [], [_f64(X)]
    for W, b, activation in zip(weights, biases, activations, strict=True):
        z.append(matmul(h[-1], W, b))
        h.append(_apply(activation, z[-1]))
    return z, h


def backward(weights: Layers, activations: Names, z: Layers, h: Layers, dz: Array) -> tuple[Gradients, Array]:
    """[(dW, db), ...] in layer order and dX, from the last layer's dz."""
    grads: Gradients = []
    for i in reversed(range(len(weights))):
        grads.insert(0, outer_gradient(dz, h[i]))
        dz = dz @ _f64(weights[i])
        if i:
            dz = dz * _apply(f"{activations[i - 1]}_derivative", z[i - 1])
    return grads, dz


def loss_and_grad(
    weights: Layers, biases: Biases, activations: Names, loss: str, X: ArrayLike, y: ArrayLike
) -> tuple[float, Gradients]:
    """J, the mean over the rows of the loss named, and [(dW, db), ...]. The last activation is "identity"."""
    z, h = forward(weights, biases, activations, X)
    losses, dz = globals()[loss](z[-1], y)
    return float(losses.mean()), backward(weights, activations, z, h, dz / len(dz))[0]


def siamese_loss_and_grad(
    weights: Layers, biases: Biases, activations: Names, X1: ArrayLike, X2: ArrayLike, y: ArrayLike
) -> tuple[float, Gradients]:
    """The siamese network: the layers but the last encode X1 and X2, the last sees the difference of the two codes.

    J is binary cross-entropy from z3 (B, 1), y is (B,), and the encoder's gradient is that of X1 minus that of X2.
    """
    (z1, h1), (z2, h2) = (forward(weights[:-1], biases[:-1], activations, X) for X in (X1, X2))
    a = h1[-1] - h2[-1]
    losses, d3 = binary_cross_entropy(matmul(a, weights[-1], biases[-1]), _f64(y)[:, None])
    d3 /= len(d3)
    da, slope = d3 @ _f64(weights[-1]), f"{activations[-1]}_derivative"
    grads1, _ = backward(weights[:-1], activations, z1, h1, da * _apply(slope, z1[-1]))
    grads2, _ = backward(weights[:-1], activations, z2, h2, da * _apply(slope, z2[-1]))
    encoder = [(dW1 - dW2, db1 - db2) for (dW1, db1), (dW2, db2) in zip(grads1, grads2, strict=True)]
    return float(losses.mean()), [*encoder, outer_gradient(d3, a)]


# Optimizers: one step of one array, with the settings' names as keywords. Give biases no decay.


def sgd_step(
    W: Array, dW: Array, v: Array, *, learning_rate: float, momentum: float, nesterov: bool, weight_decay: float
) -> tuple[Array, Array]:
    """(W, v) after a step of gradient descent with (Nesterov) momentum and L2 decay."""
    dW = dW + weight_decay * W
    v = momentum * v - learning_rate * dW
    return W + (momentum * v - learning_rate * dW if nesterov else v), v


def adam_step(W: Array, dW: Array, m: Array, v: Array, step: int, **settings: Any) -> tuple[Array, Array, Array]:
    """(W, m, v) after step number `step`, from 1: Algorithm 1 of Kingma & Ba (2015); `decoupled` is AdamW's decay."""
    rate, beta1, beta2 = (settings[name] for name in ("learning_rate", "beta1", "beta2"))
    dW = dW + settings.get("weight_decay", 0.0) * W
    m, v = beta1 * m + (1 - beta1) * dW, beta2 * v + (1 - beta2) * dW * dW
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    move = rate * m_hat / (np.sqrt(v_hat) + settings["epsilon"])
    return W - move - rate * settings.get("decoupled", 0.0) * W, m, v


def rmsprop_step(
    W: Array,
    dW: Array,
    m: Array,
    v: Array,
    *,
    learning_rate: float,
    rho: float,
    momentum: float,
    epsilon: float,
    weight_decay: float,
) -> tuple[Array, Array, Array]:
    """(W, m, v) after a step divided by the root of a running mean of squares (Tieleman & Hinton 2012)."""
    dW = dW + weight_decay * W
    v = rho * v + (1 - rho) * dW * dW
    m = momentum * m + dW / (np.sqrt(v) + epsilon)
    return W - learning_rate * m, m, v


def lion_step(
    W: Array, dW: Array, m: Array, *, learning_rate: float, beta1: float, beta2: float, weight_decay: float
) -> tuple[Array, Array]:
    """(W, m) after a step by the sign of an interpolated momentum (Chen et al. 2023)."""
    move = np.sign(beta1 * m + (1 - beta1) * dW) + weight_decay * W
    return W - learning_rate * move, beta2 * m + (1 - beta2) * dW
