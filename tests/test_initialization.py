"""Initial weights: He or Glorot, within their bounds, from the documented Philox stream."""

import math

import numpy as np
import oracle
import pytest
from oracle import ACTIVATIONS

from fastmlp import MLP
from fastmlp._core import permutation

HE = ("relu", "leaky_relu", "elu", "gelu", "silu")


def limit(activation, fan_in, fan_out):
    return math.sqrt(6 / fan_in) if activation in HE else math.sqrt(6 / (fan_in + fan_out))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_weights_fill_their_bounds_and_no_more(dtype, activation):
    net = MLP([90, 70, 50, 20], activation=activation, loss="squared_error", dtype=dtype)
    for W, name in zip(net.weights, (activation, activation, "identity"), strict=True):
        bound, n = limit(name, W.shape[1], W.shape[0]), W.size
        assert np.abs(W).max() <= dtype.type(bound)
        # the largest of n uniform numbers is below 1 - 20 / n with a chance of e^-20
        assert np.abs(W).max() >= bound * (1 - 20 / n)
        # a uniform number's standard deviation is bound / sqrt(3); five of the mean's are passed once in a million
        assert abs(W.mean()) <= 5 * bound / math.sqrt(3 * n)
        assert W.std() == pytest.approx(bound / math.sqrt(3), rel=5 / math.sqrt(n))
        assert abs((W > 0).mean() - 0.5) <= 5 * 0.5 / math.sqrt(n)
        assert len(np.unique(W)) > 0.99 * n
    assert not any(b.any() for b in net.biases)


def test_a_layer_is_drawn_for_its_own_activation():
    mixed = MLP([40, 30, 30, 5], activation=("tanh", "relu"), dtype="float64")
    for W, name in zip(mixed.weights, ("tanh", "relu", "identity"), strict=True):
        bound = limit(name, W.shape[1], W.shape[0])
        assert 0.95 * bound <= np.abs(W).max() <= bound


def test_weights_are_the_documented_stream(dtype):
    for seed in (0, 1, 2**32 + 5, 2**64 - 1):
        net = MLP([13, 9, 4], activation="tanh", seed=seed, dtype=dtype, bias=False)
        for layer, W in enumerate(net.weights):
            drawn = oracle.uniform(W.size, limit("tanh", W.shape[1], W.shape[0]), seed, layer)
            assert oracle.same(W, drawn.astype(dtype).reshape(W.shape))


@pytest.mark.parametrize("rule", ["he", "glorot", "lecun"])
def test_normal_weights_are_those_of_the_polar_method(rule):
    net = MLP([31, 40, 3], dtype="float64", init=f"{rule}_normal", seed=2**33 + 1)
    for layer, W in enumerate(net.weights):
        fan_out, fan_in = W.shape
        variance = {"he": 2 / fan_in, "glorot": 2 / (fan_in + fan_out), "lecun": 1 / fan_in}[rule]
        drawn = iter(oracle.uniform(2 * (W.size + 64), 1.0, net.seed, layer))
        expected = []
        while len(expected) < W.size:
            a, b = next(drawn), next(drawn)
            if 0 < (s := a * a + b * b) < 1:
                expected += [x * math.sqrt(-2 * math.log(s) / s * variance) for x in (a, b)]
        # some ten roundings on either side, of one unit roundoff each
        assert np.allclose(W.ravel(), expected[: W.size], rtol=20 * oracle.unit_roundoff(W.dtype), atol=0)


def test_philox_is_the_published_one():
    # the known answers that come with Random123
    for counter, key, words in (
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ):
        assert oracle.philox4x32([counter], key).tolist() == [list(words)]


def test_seeds_layers_and_dtypes(dtype):
    one, again, other = (MLP([40, 40, 40], activation="tanh", seed=s, dtype=dtype) for s in (1, 1, 2))
    assert oracle.same(one.params, again.params)
    assert not np.array_equal(one.weights[0], other.weights[0])
    assert not np.array_equal(one.weights[0] * 1.0, one.weights[1] * 1.0)
    double = MLP([40, 40, 40], activation="tanh", seed=1, dtype="float64")
    assert np.allclose(one.weights[0], double.weights[0], rtol=1e-7)  # the same numbers, rounded
    correlation = np.corrcoef(one.weights[0].ravel(), one.weights[1].ravel())[0, 1]
    assert abs(correlation) <= 5 / math.sqrt(one.weights[0].size)


def test_permutations_are_the_documented_ones():
    for n, seed, epoch in ((1, 0, 0), (2, 0, 0), (3, 5, 1), (100, 0, 7), (101, 2**63 + 3, 2)):
        order = np.asarray(permutation(n, seed, epoch))
        assert np.array_equal(order, oracle.permutation(n, seed, epoch))
        assert np.array_equal(np.sort(order), np.arange(n))


def test_permutations_are_uniform():
    # 6 orders of 3 things, 6000 draws: chi-square with 5 degrees of freedom passes 35 once in a million
    counts = np.zeros(27)
    for epoch in range(6000):
        a, b, c = (int(i) for i in permutation(3, 1, epoch))
        counts[9 * a + 3 * b + c] += 1
    assert (counts > 0).sum() == 6
    assert ((counts[counts > 0] - 1000) ** 2 / 1000).sum() < 35
