"""The hand-made network that tells whether all its inputs differ."""

import itertools

import numpy as np
import pytest

import fastmlp
from fastmlp.handmade import all_distinct


def test_the_worked_examples():
    net = all_distinct(4)
    hidden = fastmlp.MLP([4, 6], output_activation="impulse", dtype="float64")
    hidden.weights[0][...] = net.weights[0]
    for x, fired, answer in (((2, 2, 1, 1), 2, 0), ((1, 2, 3, 1), 1, 0), ((1, 0, 0, -1), 1, 0), ((1, 2, 3, 4), 0, 1)):
        assert hidden(np.array(x, float)).sum() == fired
        assert net(np.array(x, float)).tolist() == [answer]


def test_the_weights_are_those_of_the_pairs():
    net = all_distinct(4)
    W1, W2 = net.weights
    pairs = [np.eye(4)[i] - np.eye(4)[j] for i, j in itertools.combinations(range(4), 2)]
    assert W1.shape == (6, 4)
    assert sorted(map(tuple, W1)) == sorted(map(tuple, pairs))
    assert W2.tolist() == [[1.0] * 6]
    assert all(not b.any() for b in net.biases)
    assert (net.activations, net.output_activation, net.dtype) == (("impulse",), "impulse", np.float64)


def test_every_tie_pattern_of_four_inputs():
    net, seen = all_distinct(4), set()
    for x in itertools.product((-2.5, 0.0, 1e-300, 7e200), repeat=4):
        pattern = tuple(x.index(v) for v in x)
        seen.add(pattern)
        assert net(np.array(x)).tolist() == [float(len(set(x)) == 4)]
    assert len(seen) == 15  # the partitions of four things


@pytest.mark.parametrize("n", range(2, 13))
def test_any_number_of_inputs(rng, n):
    net = all_distinct(n)
    assert net.sizes == (n, n * (n - 1) // 2, 1)
    X = np.stack([rng.permutation(n) for _ in range(200)]).astype(float)
    assert net(X).tolist() == [[1.0]] * 200
    for i, j in itertools.combinations(range(n), 2):
        x = X[0].copy()
        x[i] = x[j]
        assert net(x).tolist() == [0.0]
    X = rng.integers(0, 2 * n, (300, n)).astype(float)
    assert net(X)[:, 0].tolist() == [float(len(set(row)) == n) for row in X.tolist()]
    assert net(np.full(n, 3.25)).tolist() == [0.0]


def test_neighbours_that_float32_cannot_tell_apart():
    x = np.array([16777216, 16777217, 1, 2], np.float64)
    assert all_distinct(4)(x).tolist() == [1.0]
    assert all_distinct(4, dtype="float32")(x).tolist() == [0.0]
    assert all_distinct(2)(np.array([1.0, np.nextafter(1.0, 2.0)])).tolist() == [1.0]
    x = np.array([0.0, 5e-324])
    assert all_distinct(2)(x).tolist() == [1.0]  # the difference is subnormal, not 0
    assert all_distinct(2)(np.tile(x, (3, 1))).tolist() == [[1.0]] * 3
    assert all_distinct(2)(np.array([0.0, -0.0])).tolist() == [0.0]


def test_a_gradient_is_refused():
    net, X = all_distinct(4), np.array([[1.0, 2, 3, 4]])
    before = net.params.copy()
    with pytest.raises(ValueError, match="impulse"):
        net.loss_and_grad(X, np.ones((1, 1)))
    with pytest.raises(ValueError, match="impulse"):
        net.backward(X, np.ones((1, 1)))
    with pytest.raises(ValueError, match="impulse"):
        net.fit(X, np.ones((1, 1)), epochs=1)
    with pytest.raises(ValueError, match="impulse"):
        net.train_step(X, np.ones((1, 1)), fastmlp.SGD())
    assert np.array_equal(net.params, before)


@pytest.mark.parametrize("n", [1, 0, -3, 2.5, "4", True, None])
def test_n_is_checked(n):
    with pytest.raises(ValueError, match=r"\bn\b"):
        all_distinct(n)


def test_a_tie_of_infinities_is_no_number():
    # inf - inf is NaN, which no impulse fires on: the promise is for real inputs, and nothing crashes
    assert all_distinct(3)(np.array([np.inf, np.inf, 1.0])).shape == (1,)
