"""The NumPy twin of every kernel and of the networks, in float64: the readable specification and the tests' oracle.

Names, arguments and shapes are those of `fastmlp.kernels`; below them stand a network's forward pass, its loss and
gradients, and the optimizers' formulas. Inputs of any real dtype are converted to float64 and results are float64.
Nothing here is fast, writes to `out=`, checks its arguments or gives the bits that the C core gives: NumPy sums in an
order of its own and has no fused multiply-add.

    X, dX (B, I)    W, dW (O, I)    b, db (O,)    z, dz (B, O)    t (B,) integers    B batch, I inputs, O outputs
"""

import math

import numpy as np

_erfc = np.vectorize(math.erfc, otypes=[float])
_QUIET = np.errstate(all="ignore")  # NaN and infinity are answers here, not accidents


def _f64(x):
    return np.asarray(x, np.float64)


# Activations and their derivatives, element by element.


def identity(z):
    return _f64(z).copy()


def identity_derivative(z):
    return np.ones_like(_f64(z))


def relu(z):
    """max(0, z); NaN stays NaN and -0 becomes +0."""
    z = _f64(z)
    return np.where(z <= 0, 0.0, z)


def relu_mask(z):
    """1 where z > 0, else 0: the derivative of relu, with 0 taken at 0."""
    return (_f64(z) > 0).astype(np.float64)


relu_derivative = relu_mask


def leaky_relu(z):
    z = _f64(z)
    return np.where(z > 0, z, 0.01 * z)


def leaky_relu_derivative(z):
    return np.where(_f64(z) > 0, 1.0, 0.01)


@_QUIET
def elu(z):
    z = _f64(z)
    return np.where(z > 0, z, np.expm1(z))


@_QUIET
def elu_derivative(z):
    z = _f64(z)
    return np.where(z > 0, 1.0, np.exp(z))


def gelu(z):
    """z Phi(z), with Phi the normal distribution function: exact (Hendrycks & Gimpel 2016)."""
    z = _f64(z)
    return z * 0.5 * _erfc(-z / math.sqrt(2))


@_QUIET
def gelu_derivative(z):
    z = _f64(z)
    return 0.5 * _erfc(-z / math.sqrt(2)) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def silu(z):
    return _f64(z) * sigmoid(z)


def silu_derivative(z):
    s = sigmoid(z)
    return s + _f64(z) * s * sigmoid(-_f64(z))


@_QUIET
def softplus(z):
    return np.logaddexp(0.0, _f64(z))


def softplus_derivative(z):
    return sigmoid(z)


def tanh(z):
    return np.tanh(_f64(z))


@_QUIET
def tanh_derivative(z):
    return 1 / np.cosh(_f64(z)) ** 2


@_QUIET
def sigmoid(z):
    z = _f64(z)
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1 + e)


def sigmoid_derivative(z):
    return sigmoid(z) * sigmoid(-_f64(z))


def impulse(z):
    """1 at 0, else 0. No derivative of use, hence none here."""
    return (_f64(z) == 0).astype(np.float64)


def heaviside(z):
    """1 for z >= 0, else 0. No derivative of use, hence none here."""
    return (_f64(z) >= 0).astype(np.float64)


# Products.


def matvec(W, x, b=None, activation="identity"):
    """activation(W x + b): (O, I), (I,), (O,) -> (O,)."""
    return matmul(_f64(x)[None], W, b, activation)[0]


def matmul(X, W, b=None, activation="identity"):
    """activation(X W^T + b): (B, I), (O, I), (O,) -> (B, O)."""
    z = _f64(X) @ _f64(W).T
    return globals()[activation](z if b is None else z + _f64(b))


def outer_gradient(dz, X):
    """dW = dz^T X and db = the sum of dz's rows: (B, O), (B, I) -> (O, I), (O,)."""
    return _f64(dz).T @ _f64(X), _f64(dz).sum(axis=0)


# Reductions of a row of logits and losses of a row. One row (K,) is allowed wherever (B, K) stands.


@_QUIET
def logsumexp(z):
    """log sum exp(z): (B, K) -> (B,). Finite for every finite z."""
    z = _f64(z)
    a = z.max(axis=-1)
    return np.where(np.isfinite(a), a + np.log(np.exp(z - a[..., None]).sum(axis=-1)), a)


@_QUIET
def softmax(z):
    z = _f64(z)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@_QUIET
def log_softmax(z):
    z = _f64(z)
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def softmax_cross_entropy(z, t):
    """-log softmax(z)[t] per row, and softmax(z) - onehot(t): (B, K), (B,) -> (B,), (B, K)."""
    t = np.asarray(t)[..., None]
    onehot = np.arange(np.shape(z)[-1]) == t
    return -np.take_along_axis(log_softmax(z), t, axis=-1)[..., 0], softmax(z) - onehot


@_QUIET
def binary_cross_entropy(z, y):
    """-[y log s + (1 - y) log(1 - s)] with s = sigmoid(z), summed over a row's outputs, and s - y."""
    z, y = _f64(z), _f64(y)
    return (np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))).sum(axis=-1), sigmoid(z) - y


def squared_error(z, y):
    """||z - y||^2 / 2 per row, and z - y: (B, K), (B, K) -> (B,), (B, K)."""
    dz = _f64(z) - _f64(y)
    return (dz * dz).sum(axis=-1) / 2, dz


# Networks: weights[l] (out, in), biases[l] (out,) or None, activations[l] the name of layer l's activation.


def forward(weights, biases, activations, X):
    """Pre-activations and activations, one of each per layer; activations start with X itself."""
    z, h = [], [_f64(X)]
    for W, b, activation in zip(weights, biases, activations, strict=True):
        z.append(matmul(h[-1], W, b))
        h.append(globals()[activation](z[-1]))
    return z, h


def backward(weights, activations, z, h, dz):
    """[(dW, db), ...] in layer order and dX, from dz = dJ/d(pre-activation of the last layer)."""
    grads = []
    for layer in reversed(range(len(weights))):
        grads.insert(0, outer_gradient(dz, h[layer]))
        dz = dz @ _f64(weights[layer])
        if layer:
            dz *= globals()[f"{activations[layer - 1]}_derivative"](z[layer - 1])
    return grads, dz


def loss_and_grad(weights, biases, activations, loss, X, y):
    """J, the mean over the rows of the loss named, and [(dW, db), ...]. The last activation is "identity"."""
    z, h = forward(weights, biases, activations, X)
    losses, dz = globals()[loss](z[-1], y)
    return losses.mean(), backward(weights, activations, z, h, dz / len(dz))[0]


def siamese_loss_and_grad(weights, biases, activations, X1, X2, y):
    """The siamese network: the layers but the last encode X1 and X2, the last sees the difference of the two codes.

    J is binary cross-entropy from z3 (B, 1), y is (B,), and the encoder's gradient is that of X1 minus that of X2.
    """
    encoder = weights[:-1], biases[:-1], activations
    (z1, h1), (z2, h2) = forward(*encoder, X1), forward(*encoder, X2)
    a = h1[-1] - h2[-1]
    losses, d3 = binary_cross_entropy(matmul(a, weights[-1], biases[-1]), _f64(y)[:, None])
    d3 /= len(d3)
    da, slope = d3 @ _f64(weights[-1]), globals()[f"{activations[-1]}_derivative"]
    grads1, _ = backward(weights[:-1], activations, z1, h1, da * slope(z1[-1]))
    grads2, _ = backward(weights[:-1], activations, z2, h2, da * slope(z2[-1]))
    encoder_grads = [(dW1 - dW2, db1 - db2) for (dW1, db1), (dW2, db2) in zip(grads1, grads2, strict=True)]
    return losses.mean(), [*encoder_grads, outer_gradient(d3, a)]


# Optimizers: one step for one array. `step` counts from 1; give biases a weight_decay of 0.


def sgd_step(W, dW, v, learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=0.0):
    """(W, v) after a step of gradient descent with (Nesterov) momentum and L2 decay."""
    dW = dW + weight_decay * W
    v = momentum * v - learning_rate * dW
    return W + (momentum * v - learning_rate * dW if nesterov else v), v


def adam_step(
    W, dW, m, v, step, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, decoupled=0.0
):
    """(W, m, v) after a step of Algorithm 1 of Kingma & Ba (2015); `decoupled` is AdamW's decay."""
    dW = dW + weight_decay * W
    m = beta1 * m + (1 - beta1) * dW
    v = beta2 * v + (1 - beta2) * dW * dW
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return W - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon) - learning_rate * decoupled * W, m, v
