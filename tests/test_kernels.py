"""The products: the right values, and the bits of an ascending chain of fused multiply-adds with the bias last."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import oracle
import pytest
from oracle import ACTIVATIONS, SIZES

from fastmlp import kernels, reference

sizes = st.sampled_from(SIZES)


def draw(rng, *shape, dtype):
    """Values of mixed sign and magnitude, some of them exactly zero: a tile that loses one of them shows."""
    a = rng.normal(size=shape) * np.exp2(rng.integers(-6, 7, size=shape))
    return np.where(rng.random(shape) < 0.1, 0, a).astype(dtype)


@hypothesis.given(
    rows=sizes, inputs=sizes, outputs=sizes, bias=st.booleans(), double=st.booleans(), seed=st.integers(0, 999)
)
def test_products_equal_the_reference_within_their_rounding_errors(rows, inputs, outputs, bias, double, seed):
    dtype = np.dtype(np.float64 if double else np.float32)
    rng = np.random.default_rng(seed)
    X, W, b = (draw(rng, *shape, dtype=dtype) for shape in ((rows, inputs), (outputs, inputs), (outputs,)))
    b = b if bias else None
    # the reference rounds too, which only shows where it has no more bits than the kernel
    bound = oracle.product_bound(X, W.T, b) * (2 if double else 1)
    assert np.all(np.abs(kernels.matmul(X, W, b) - reference.matmul(X, W, b)) <= bound)
    assert np.all(np.abs(kernels.matvec(W, X[0], b) - reference.matvec(W, X[0], b)) <= bound[0])

    dz = draw(rng, rows, outputs, dtype=dtype)
    dW, db = kernels.outer_gradient(dz, X)
    expected_dW, expected_db = reference.outer_gradient(dz, X)
    factor = 2 if double else 1
    assert np.all(np.abs(dW - expected_dW) <= oracle.product_bound(dz.T, X) * factor)
    assert np.all(np.abs(db - expected_db) <= oracle.product_bound(dz.T, np.ones((rows, 1), dtype))[:, 0] * factor)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [
        (1, 1, 1),
        (1, 65, 97),
        (3, 7, 15),
        (17, 33, 16),
        (15, 16, 31),
        (63, 3, 65),
        (97, 31, 17),
        (16, 97, 1),
        (31, 17, 63),
    ],
)
def test_products_in_float32_are_ascending_chains_of_fma(rng, rows, inputs, outputs, bias):
    X, W, b, dz = (
        draw(rng, *shape, dtype=np.float32)
        for shape in ((rows, inputs), (outputs, inputs), (outputs,), (rows, outputs))
    )
    b = b if bias else None
    Y = oracle.product(X, W.T, b)
    assert oracle.same(kernels.matmul(X, W, b), Y)
    assert oracle.same(kernels.matvec(W, X[-1], b), Y[-1])
    dW, db = kernels.outer_gradient(dz, X)
    assert oracle.same(dW, oracle.product(dz.T, X))
    assert oracle.same(db, oracle.product(dz.T, np.ones((rows, 1), np.float32))[:, 0])


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 1, 1), (1, 17, 3), (3, 7, 5), (2, 5, 17), (9, 3, 2)])
def test_products_in_float64_are_ascending_chains_of_fma(rng, rows, inputs, outputs):
    X, W, b, dz = (
        draw(rng, *shape, dtype=np.float64)
        for shape in ((rows, inputs), (outputs, inputs), (outputs,), (rows, outputs))
    )
    assert oracle.same(kernels.matmul(X, W, b), oracle.product(X, W.T, b))
    assert oracle.same(kernels.matvec(W, X[0], b), oracle.product(X, W.T, b)[0])
    dW, db = kernels.outer_gradient(dz, X)
    assert oracle.same(dW, oracle.product(dz.T, X))
    assert oracle.same(db, oracle.product(dz.T, np.ones((rows, 1)))[:, 0])


def test_sums_ascend_and_biases_come_last():
    u = 2.0**-24  # 1 + u rounds to 1 in float32
    W = np.float32([[1, u, u]])
    ones = np.ones(3, np.float32)
    assert kernels.matvec(W, ones)[0] == 1
    assert kernels.matvec(W[:, ::-1], ones)[0] == 1 + 2 * u
    assert kernels.matvec(np.float32([[u, u]]), ones[:2], np.float32([1]))[0] == 1 + 2 * u
    assert kernels.matvec(np.float32([[1, u]]), ones[:2], np.float32([u]))[0] == 1
    # one rounding a term: (1 + 2^-12)^2 - 1 keeps the 2^-24 that a rounded product loses
    x = np.float32([-1, 1 + 2.0**-12])
    assert kernels.matvec(np.float32([[1, 1 + 2.0**-12]]), x)[0] == 2.0**-11 + u


def test_a_product_is_never_minus_zero(dtype, size):
    tiny = np.finfo(dtype).tiny
    X, W = np.full((size, size), -tiny, dtype), np.full((size, size), tiny, dtype)
    for b in (None, np.full(size, -0.0, dtype)):
        z = kernels.matmul(X, W, b)
        assert np.all(z == 0)
        assert not np.signbit(z).any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_fused_activation_is_the_activation_of_the_product(rng, dtype, size, activation):
    X, W, b = (rng.normal(size=shape).astype(dtype) for shape in ((5, 9), (size, 9), (size,)))
    W[0], b[0] = 0, 0  # z = 0 exactly
    of = getattr(kernels, activation)
    for bias in (b, None):
        assert oracle.same(kernels.matmul(X, W, bias, activation), of(kernels.matmul(X, W, bias)))
        assert oracle.same(kernels.matvec(W, X[0], bias, activation), of(kernels.matvec(W, X[0], bias)))


def test_a_row_has_the_same_bits_in_any_batch_and_any_order(rng, dtype):
    X, W, b = (draw(rng, *shape, dtype=dtype) for shape in ((70, 33), (37, 33), (37,)))
    Y = np.stack([kernels.matvec(W, x, b) for x in X])
    for rows in range(1, 71):
        assert oracle.same(kernels.matmul(X[:rows], W, b), Y[:rows])
        assert oracle.same(kernels.matmul(X[70 - rows :], W, b), Y[70 - rows :])
    order = rng.permutation(70)
    assert oracle.same(kernels.matmul(X[order], W, b), Y[order])


def test_an_output_has_the_same_bits_beside_any_others(rng, dtype):
    X, W, b = (draw(rng, *shape, dtype=dtype) for shape in ((5, 33), (70, 33), (70,)))
    Y = kernels.matmul(X, W, b)
    for first in (0, 1, 5):
        for last in range(first + 1, 71):
            assert oracle.same(kernels.matmul(X, W[first:last], b[first:last]), Y[:, first:last])


def test_large_products_use_every_tile_and_panel(rng):
    X, W, dz = (draw(rng, *shape, dtype=np.float32) for shape in ((131, 40), (300, 40), (131, 300)))
    assert oracle.same(kernels.matmul(X, W), oracle.product(X, W.T))
    dW, db = kernels.outer_gradient(dz, X)
    assert oracle.same(dW, oracle.product(dz.T, X))
    assert oracle.same(db, oracle.product(dz.T, np.ones((131, 1), np.float32))[:, 0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_row(rng, dtype, size, value):
    X, W = rng.normal(size=(5, size)).astype(dtype), rng.normal(size=(17, size)).astype(dtype)
    clean = kernels.matmul(X, W)
    for column in range(size):
        bad = X.copy()
        bad[2, column] = value
        Y = kernels.matmul(bad, W, None, "identity")
        assert not np.isfinite(Y[2]).any()
        assert oracle.same(np.delete(Y, 2, 0), np.delete(clean, 2, 0))
        assert oracle.same(kernels.matvec(W, bad[2]), Y[2])


def test_nothing_to_sum_gives_zero_or_the_bias(dtype):
    X, W, b = np.empty((3, 0), dtype), np.empty((2, 0), dtype), np.array([1, 2], dtype)
    assert oracle.same(kernels.matmul(X, W), np.zeros((3, 2), dtype))
    assert oracle.same(kernels.matmul(X, W, b), np.tile(b, (3, 1)))
    assert kernels.matmul(np.empty((0, 4), dtype), np.ones((2, 4), dtype)).shape == (0, 2)
    dW, db = kernels.outer_gradient(np.empty((0, 2), dtype), np.empty((0, 4), dtype))
    assert oracle.same(dW, np.zeros((2, 4), dtype))
    assert oracle.same(db, np.zeros(2, dtype))


def test_mismatched_shapes_and_unknown_names_are_told(dtype):
    X, W, b = np.ones((2, 3), dtype), np.ones((4, 3), dtype), np.ones(4, dtype)
    with pytest.raises(ValueError, match=r"\bX\b.*\(2, 2\).*\bW\b.*\(4, 3\)|\bW\b.*\(4, 3\).*\bX\b.*\(2, 2\)"):
        kernels.matmul(X[:, :2], W)
    with pytest.raises(ValueError, match=r"\bx\b"):
        kernels.matvec(W, X[0, :2])
    with pytest.raises(ValueError, match=r"\bb\b.*\(3,\)"):
        kernels.matmul(X, W, b[:3])
    with pytest.raises(ValueError, match=r"\bb\b.*\(3,\)"):
        kernels.matvec(W, X[0], b[:3])
    with pytest.raises(ValueError, match="dz"):
        kernels.outer_gradient(np.ones((3, 4), dtype), X)
    with pytest.raises(ValueError, match="X"):
        kernels.matmul(X[0], W)
    with pytest.raises(ValueError, match=r"activation.*rleu"):
        kernels.matmul(X, W, b, "rleu")
