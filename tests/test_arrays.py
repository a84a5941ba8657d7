"""Arrays in: any layout gives the bits of the contiguous copy, other types convert or are refused, none is changed."""

import inspect

import numpy as np
import oracle
import pytest
from kernel_calls import KERNELS, LAYOUTS, calls, misaligned, results

import fastmlp
from fastmlp import kernels


def test_no_kernel_is_forgotten():
    public = {name for name, thing in vars(kernels).items() if callable(thing) and not name.startswith("_")}
    assert set(KERNELS) == public - {"impulse_derivative", "heaviside_derivative"}  # whose one promise is to raise


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", KERNELS)
def test_any_layout_gives_the_bits_of_the_copy(rng, dtype, name, layout):
    if layout == "a list" and dtype == np.float32:
        pytest.skip("a list of floats is float64")
    kernel, arrays, extra = calls(rng, dtype)[name]
    wanted = results(kernel(*arrays, **extra))
    for position in range(len(arrays)):
        given = list(arrays)
        given[position] = LAYOUTS[layout](arrays[position])
        kept = np.array(given[position])
        for found, expected in zip(results(kernel(*given, **extra)), wanted, strict=True):
            assert oracle.same(found, expected)
            assert type(found) is np.ndarray or found.ndim == 0
        assert np.array_equal(given[position], kept)


@pytest.mark.parametrize("name", KERNELS)
def test_stride_zero(rng, dtype, name):
    kernel, arrays, extra = calls(rng, dtype)[name]
    for position, array in enumerate(arrays):
        given, copied = list(arrays), list(arrays)
        given[position] = np.broadcast_to(array[:1], array.shape)
        copied[position] = given[position].copy()
        for found, expected in zip(results(kernel(*given, **extra)), results(kernel(*copied, **extra)), strict=True):
            assert oracle.same(found, expected)


@pytest.mark.parametrize("name", KERNELS)
def test_every_offset_of_the_base_pointer_gives_the_same_bits(rng, dtype, name):
    kernel, arrays, extra = calls(rng, dtype, rows=17, inputs=33, outputs=19)[name]
    wanted = results(kernel(*arrays, **extra))
    for offset in range(0, 64, 4):  # a double 4 bytes off is unaligned, a float is not
        moved = [misaligned(a, offset) for a in arrays]
        out = tuple(misaligned(np.full_like(w, np.nan), offset // dtype.itemsize * dtype.itemsize) for w in wanted)
        kernel(*moved, **extra, out=out if len(out) > 1 else out[0])
        for found, expected in zip(out, wanted, strict=True):
            assert oracle.same(found, expected)


@pytest.mark.parametrize("name", KERNELS)
def test_what_is_no_real_number_is_refused(rng, dtype, name):
    kernel, arrays, extra = calls(rng, dtype)[name]
    names = list(inspect.signature(kernel).parameters)
    for position in range(len(arrays)):
        for bad in (object, complex, str, "datetime64[s]"):
            given = list(arrays)
            given[position] = np.zeros(arrays[position].shape, int).astype(bad)
            with pytest.raises(TypeError, match=rf"\b{names[position]}\b"):
                kernel(*given, **extra)
        for bad in (None, "x", {}, object()):
            if bad is None and names[position] == "b":
                continue  # no bias
            given[position] = bad
            with pytest.raises((TypeError, ValueError), match=rf"\b{names[position]}\b"):
                kernel(*given, **extra)


def test_other_real_types_convert():
    z = np.array([[1, 0, 3], [2, 5, 1]])
    for dtype in (np.int8, np.int64, np.uint16, np.float16, bool):
        given = z.astype(dtype)
        for name in ("relu", "softmax", "logsumexp", "sigmoid"):
            found = getattr(kernels, name)(given)
            assert oracle.same(found, getattr(kernels, name)(given.astype(found.dtype)))
            assert found.dtype in (np.float32, np.float64)


# A network's inputs pass the same door.


def network(dtype, **settings):
    return fastmlp.MLP([9, 17, 7], dtype=dtype, seed=5, **settings)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_network_takes_any_layout(rng, dtype, layout):
    net = network(dtype)
    X, t = rng.normal(size=(11, 9)).astype(dtype), rng.integers(0, 7, 11)
    given = LAYOUTS[layout](X)
    assert oracle.same(net(given), net(X))
    assert oracle.same(net(LAYOUTS[layout](X[0])), net(X[0]))
    for (dW, db), (wanted_dW, wanted_db) in zip(
        [[g.copy() for g in pair] for pair in net.loss_and_grad(given, LAYOUTS[layout](t))[1]],
        net.loss_and_grad(X, t)[1],
        strict=True,
    ):
        assert oracle.same(dW, wanted_dW)
        assert oracle.same(db, wanted_db)
    one, other = network(dtype), network(dtype)
    one.fit(given, LAYOUTS[layout](t), epochs=2, batch_size=4)
    other.fit(X, t, epochs=2, batch_size=4)
    assert oracle.same(one.params, other.params)
    dz = rng.normal(size=(11, 7)).astype(dtype)
    assert oracle.same(one.backward(given, LAYOUTS[layout](dz)), other.backward(X, dz))
    assert np.array_equal(given, X)


def test_a_network_at_every_offset_of_the_base_pointer(rng, dtype):
    X, Z = rng.normal(size=(70, 9)).astype(dtype), rng.normal(size=(70, 7)).astype(dtype)
    settings = {"loss": "squared_error", "activation": "gelu"}
    for offset in range(0, 64, 4):
        net, moved = network(dtype, **settings), network(dtype, **settings)
        x, z = misaligned(X, offset), misaligned(Z, offset)
        assert oracle.same(moved(x), net(X))
        assert oracle.same(moved(x[3]), net(X[3]))
        if offset % dtype.itemsize == 0:
            assert oracle.same(moved(x, out=misaligned(np.full_like(Z, np.nan), offset)), net(X))
        assert oracle.same(moved.backward(x, z), net.backward(X, Z))
        moved.fit(x, z, epochs=2, batch_size=16)
        net.fit(X, Z, epochs=2, batch_size=16)
        assert oracle.same(moved.params, net.params)


def test_a_network_takes_stride_zero(rng, dtype):
    net, other = network(dtype), network(dtype)
    X = np.broadcast_to(rng.normal(size=9).astype(dtype), (11, 9))
    for given in (X, np.broadcast_to(X[0, :1], (11, 9))):
        assert oracle.same(net(given), net(given.copy()))
        net.fit(given, np.broadcast_to(3, 11), epochs=2, batch_size=4)
        other.fit(given.copy(), np.full(11, 3), epochs=2, batch_size=4)
        assert oracle.same(net.params, other.params)


def test_a_network_converts_and_refuses(rng, dtype):
    net = network(dtype)
    X = rng.integers(-5, 5, (4, 9))
    wanted = net(X.astype(dtype))
    for other in (np.int8, np.int64, np.float16, np.float32, np.float64):
        assert oracle.same(net(X.astype(other)), wanted)
    assert oracle.same(net(X > 0), net((X > 0).astype(dtype)))
    for bad in (object, complex, str, "datetime64[s]"):
        for call in (net, net.predict, net.predict_proba):
            with pytest.raises(TypeError, match=r"\bX\b|\bx\b"):
                call(X.astype(bad))
        with pytest.raises(TypeError, match=r"\bX\b"):
            net.fit(X.astype(bad), np.zeros(4, int))
        with pytest.raises(TypeError, match=r"\by\b"):
            net.fit(X, np.zeros(4, int).astype(bad))


def test_a_conversion_that_overflows_is_an_error():
    net = network(np.float32)
    X = np.zeros((3, 9))
    X[1, 2] = 1e39
    for call in (net, net.predict, net.predict_proba, lambda X: net.fit(X, [0, 1, 2], epochs=1)):
        with pytest.raises(ValueError, match=r"\bX\b|\bx\b"):
            call(X)
    assert np.isfinite(network(np.float64)(X)).all()
    regression = network(np.float32, loss="squared_error")
    with pytest.raises(ValueError, match=r"\by\b"):
        regression.fit(np.zeros((1, 9)), np.full((1, 7), -1e39), epochs=1)
    X[1, 2] = np.inf  # infinite already: nothing overflows
    assert net(X).shape == (3, 7)
