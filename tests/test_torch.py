"""Twenty random networks against PyTorch in float64, to 1e-12: activations, losses and gradients."""

import numpy as np
import oracle
import pytest
from oracle import DIFFERENTIABLE, LOSSES

import fastmlp

torch = pytest.importorskip("torch")
F = torch.nn.functional

TORCH = {
    "identity": lambda z: z,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "softplus": F.softplus,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
TORCH_LOSS = {
    "squared_error": lambda z, y: ((z - y) ** 2).sum(1).mean() / 2,
    "softmax_cross_entropy": F.cross_entropy,
    "binary_cross_entropy": lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(z),
}


@pytest.mark.parametrize("case", range(20))
def test_gradients_equal_those_of_pytorch(case):
    rng = np.random.default_rng(case)
    sizes = [int(n) for n in rng.integers(1, 70, rng.integers(2, 6))]
    loss, bias = LOSSES[case % 3], case % 4 != 3
    sizes[-1] += loss == "softmax_cross_entropy"
    # every activation appears: the case counts through them
    names = [DIFFERENTIABLE[(case + 2 * layer) % len(DIFFERENTIABLE)] for layer in range(len(sizes) - 2)]
    net = fastmlp.MLP(sizes, activation=names or "relu", loss=loss, bias=bias, dtype="float64", seed=case)
    for b in net.biases:
        if b is not None:
            b[...] = rng.normal(size=b.shape)
    B = int(rng.integers(1, 65))
    X, y = rng.normal(size=(B, sizes[0])), oracle.targets(rng, loss, B, sizes[-1])

    h = inputs = torch.tensor(X, requires_grad=True)
    parameters = [[torch.tensor(a, requires_grad=True) if a is not None else None for a in pair]
                  for pair in zip(map(np.array, net.weights), net.biases, strict=True)]  # fmt: skip
    for layer, (W, b) in enumerate(parameters):
        h = F.linear(h, W, b)
        if layer < len(names):
            h = TORCH[names[layer]](h)
    wanted_loss = TORCH_LOSS[loss](h, torch.tensor(y))
    wanted_loss.backward()

    found_loss, grads = net.loss_and_grad(X, y)
    assert abs(found_loss - wanted_loss.item()) <= 1e-12 * max(1, abs(wanted_loss.item()))
    for pair, wanted in zip(grads, parameters, strict=True):
        for g, p in zip(pair, wanted, strict=True):
            if p is not None:
                assert oracle.relative_error(g, p.grad.numpy()) <= 1e-12
    z = torch.tensor(net(X), requires_grad=True)
    TORCH_LOSS[loss](z, torch.tensor(y)).backward()
    assert oracle.relative_error(net.backward(X, z.grad.numpy()), inputs.grad.numpy()) <= 1e-12
    assert oracle.relative_error(net(X), h.detach().numpy()) <= 1e-12
