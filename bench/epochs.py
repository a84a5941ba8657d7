"""An epoch of training in each library, the way its own users are told to run it fast. Measures itself, judges nothing.

BUILDERS[library](net, X, y, batch) starts from the weights of `net` and gives a function that runs one epoch over
X (N, I) float32 and y (N,) int64, N a multiple of `batch`, and returns (seconds, a loss). An epoch is the same work
for all: rows in a new order, and per step gather, forward, softmax cross-entropy, backward and Adam at a rate of 1e-3.
The loss is that of the last step or the epoch's mean, as the library has it: the same where an epoch is one step.
"""

import functools
import time

import numpy as np
import peers

RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8  # Adam's, the defaults of every library


def clocked(epoch):
    """An epoch that returns a loss, made to return (seconds, loss)."""

    def call():
        start = time.perf_counter()
        loss = epoch()
        return time.perf_counter() - start, loss

    return call


def fastmlp(net, X, y, batch):
    def epoch():
        # History.seconds: the look over X for bad values, one per fit however many its epochs, is no part of a step.
        history = net.fit(X, y, epochs=1, batch_size=batch)
        return history.seconds[0], history.loss[0]

    return epoch


def adam(params, grads):
    """Adam's step on flat arrays in place; the gradients are overwritten."""
    m, v, scratch = (np.zeros_like(params) for _ in range(3))

    def update(t):
        correction = (1 - BETA2**t) ** 0.5
        np.multiply(m, BETA1, out=m)
        np.multiply(grads, 1 - BETA1, out=scratch)
        np.add(m, scratch, out=m)
        np.multiply(v, BETA2, out=v)
        np.multiply(grads, grads, out=grads)
        np.multiply(grads, 1 - BETA2, out=grads)
        np.add(v, grads, out=v)
        np.sqrt(v, out=scratch)
        np.add(scratch, EPSILON * correction, out=scratch)
        np.divide(m, scratch, out=scratch)
        np.multiply(scratch, RATE * correction / (1 - BETA1**t), out=scratch)
        np.subtract(params, scratch, out=params)

    return update


def numpy(net, X, y, batch):
    given = [array for pair in zip(*peers.numpy_weights(net), strict=True) for array in pair]  # W, b, W, b, ...
    params = np.concatenate([array.ravel() for array in given])
    grads = np.zeros_like(params)
    cuts = np.cumsum([array.size for array in given])[:-1]

    def layers(flat):
        arrays = [part.reshape(like.shape) for part, like in zip(np.split(flat, cuts), given, strict=True)]
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    weights, gradients, update = layers(params), layers(grads), adam(params, grads)
    rows, rng, t = np.arange(batch), np.random.default_rng(0), 0

    def gradient(X, y):
        h = [X]
        for W, b in weights:
            z = h[-1] @ W
            z += b
            h.append(np.maximum(z, 0, out=z) if len(h) < len(weights) else z)
        dz = h.pop()
        dz -= dz.max(axis=1, keepdims=True)
        true = dz[rows, y]
        np.exp(dz, out=dz)
        total = dz.sum(axis=1, keepdims=True)
        dz /= total
        dz[rows, y] -= 1
        dz /= batch
        for i in reversed(range(len(weights))):
            np.matmul(h[i].T, dz, out=gradients[i][0])
            dz.sum(axis=0, out=gradients[i][1])
            if i:
                dz = dz @ weights[i][0].T
                dz *= h[i] > 0
        return float((np.log(total[:, 0]) - true).mean())

    def epoch():
        nonlocal t
        for order in rng.permutation(len(X)).reshape(-1, batch):
            t += 1
            loss = gradient(X.take(order, axis=0), y.take(order))
            update(t)
        return loss

    return clocked(epoch)


def sklearn(net, X, y, batch):
    from sklearn import config_context
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(hidden_layer_sizes=net.sizes[1:-1], batch_size=batch, alpha=0, random_state=0)
    peers.hand_to_sklearn(model, net, X[:batch], y[:batch], classes=np.arange(net.sizes[-1]))

    def epoch():
        with config_context(assume_finite=True):
            return model.partial_fit(X, y).loss_

    return clocked(epoch)


def torch(net, X, y, batch):
    import torch

    module = peers.torch_module(net)
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE, fused=True)
    criterion = torch.nn.CrossEntropyLoss()
    X, y = torch.from_numpy(X), torch.from_numpy(y)

    def epoch():
        for order in torch.randperm(len(X)).split(batch):
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(module(X[order]), y[order])
            loss.backward()
            optimizer.step()
        return loss.item()

    return clocked(epoch)


def jax(net, X, y, batch):
    import jax
    import jax.numpy as jnp

    def mean_loss(params, X, y):
        z = peers.jax_logits(params, X)
        return (jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, y[:, None], axis=1)[:, 0]).mean()

    def step(X, y, state, order):
        params, m, v, t = state
        loss, grads = jax.value_and_grad(mean_loss)(params, X[order], y[order])
        t += 1
        correction = jnp.sqrt(1 - BETA2**t)
        rate, epsilon = RATE * correction / (1 - BETA1**t), EPSILON * correction
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, grads)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, grads)
        params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + epsilon), params, m, v)
        return (params, m, v, t), loss

    @functools.partial(jax.jit, donate_argnums=0)
    def scan(state, X, y, orders):
        return jax.lax.scan(functools.partial(step, X, y), state, orders)

    params, X, y = peers.jax_params(net), jnp.array(X), jnp.array(y, jnp.int32)
    m, v = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
    state, rng = (params, m, v, jnp.float32(0)), np.random.default_rng(0)

    def epoch():
        nonlocal state
        orders = rng.permutation(len(X)).astype(np.int32).reshape(-1, batch)
        state, losses = scan(state, X, y, orders)
        return float(losses[-1])

    return clocked(epoch)


BUILDERS = {
    "fastmlp": fastmlp,
    "NumPy": numpy,
    "scikit-learn": sklearn,
    "PyTorch": torch,
    "JAX": jax,
}
