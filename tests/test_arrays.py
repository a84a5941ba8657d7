"""Arrays in and out: any layout gives the bits of the contiguous copy, nothing that is given is changed, and `out=`."""

import inspect
import mmap

import numpy as np
import oracle
import pytest
from oracle import ACTIVATIONS, DIFFERENTIABLE

import fastmlp
from fastmlp import kernels

ELEMENTWISE = [*ACTIVATIONS, "relu_mask", *(f"{name}_derivative" for name in DIFFERENTIABLE)]


def calls(rng, dtype, rows=5, I=9, K=7):
    """Every kernel with arguments that suit it: name -> (kernel, arrays of the element type, what else it takes)."""
    X, W, dz, z = (rng.normal(size=shape).astype(dtype) for shape in ((rows, I), (K, I), (rows, K), (rows, K)))
    b, y, t = rng.normal(size=K).astype(dtype), rng.random((rows, K)).astype(dtype), rng.integers(0, K, rows)
    table = {
        "matvec": ((W, X[0].copy(), b), {"activation": "tanh"}),
        "matmul": ((X, W, b), {"activation": "relu"}),
        "outer_gradient": ((dz, X), {}),
        "logsumexp": ((z,), {}),
        "softmax": ((z,), {}),
        "log_softmax": ((z,), {}),
        "softmax_cross_entropy": ((z,), {"t": t}),
        "binary_cross_entropy": ((z, y), {}),
        "squared_error": ((z, y), {}),
    }
    table.update({name: ((z,), {}) for name in ELEMENTWISE})
    return {name: (getattr(kernels, name), list(arrays), extra) for name, (arrays, extra) in table.items()}


KERNELS = list(calls(np.random.default_rng(0), np.float32))


def results(value):
    return value if isinstance(value, tuple) else (value,)


def misaligned(a, offset):
    """A copy of an array that starts `offset` bytes behind a 64-byte boundary."""
    raw = np.zeros(a.nbytes + 192, np.uint8)
    start = -raw.ctypes.data % 64 + offset
    copy = raw[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy


def strided(a):
    wide = np.full([2 * n + 1 for n in a.shape], np.nan, a.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def memory_mapped(a):
    pages = mmap.mmap(-1, a.nbytes)
    pages.write(a.tobytes())
    return np.frombuffer(pages, a.dtype).reshape(a.shape)


LAYOUTS = {
    "Fortran order": lambda a: np.asfortranarray(a),
    "every second": strided,
    "negative strides": lambda a: np.flip(np.flip(a).copy()),
    "transposed": lambda a: a.T.copy().T,
    "read-only": read_only,
    "memory-mapped": memory_mapped,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "a byte off": lambda a: misaligned(a, 1),
    "a list": lambda a: a.tolist(),
    "a subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
}


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
    kernel, arrays, extra = calls(rng, dtype, rows=17, I=33, K=19)[name]
    wanted = results(kernel(*arrays, **extra))
    for offset in range(0, 64, 4):  # a double 4 bytes off is unaligned, a float is not
        moved = [misaligned(a, offset) for a in arrays]
        out = tuple(misaligned(np.full_like(w, np.nan), offset) for w in wanted)
        kernel(*moved, **extra, out=out if len(out) > 1 else out[0])
        for found, expected in zip(out, wanted, strict=True):
            assert oracle.same(found, expected)


@pytest.mark.parametrize("name", KERNELS)
def test_out_is_filled_and_returned_whatever_it_held(rng, dtype, name):
    kernel, arrays, extra = calls(rng, dtype)[name]
    wanted = results(kernel(*arrays, **extra))
    for poison in (np.nan, np.inf, 7):
        out = tuple(np.full_like(w, poison) for w in wanted)
        given = out if len(out) > 1 else out[0]
        returned = kernel(*arrays, **extra, out=given)
        for r, o, expected in zip(results(returned), out, wanted, strict=True):
            assert r is o
            assert oracle.same(o, expected)


@pytest.mark.parametrize("name", KERNELS)
def test_an_out_that_does_not_fit_is_refused_untouched(rng, dtype, name):
    kernel, arrays, extra = calls(rng, dtype)[name]
    wanted = results(kernel(*arrays, **extra))
    other = np.float64 if dtype == np.float32 else np.float32
    misfits = {
        "dtype": lambda w: np.full(w.shape, 7, other),
        "integers": lambda w: np.full(w.shape, 7, np.int64),
        "too long": lambda w: np.full((w.shape[0] + 1, *w.shape[1:]), 7, dtype),
        "too deep": lambda w: np.full((1, *w.shape), 7, dtype),
        "read-only": lambda w: read_only(np.full(w.shape, 7, dtype)),
        "byte-swapped": lambda w: np.full(w.shape, 7, dtype.newbyteorder()),
    }
    for kind, misfit in misfits.items():
        for position in range(len(wanted)):
            out = [np.full_like(w, 7) for w in wanted]
            out[position] = misfit(wanted[position])
            with pytest.raises((ValueError, TypeError), match="out"):
                kernel(*arrays, **extra, out=tuple(out) if len(out) > 1 else out[0])
            assert all(np.all(o == 7) for o in out), kind
    with pytest.raises((ValueError, TypeError), match="out"):
        kernel(*arrays, **extra, out=wanted[0].tolist())
    with pytest.raises((ValueError, TypeError), match="out"):
        kernel(*arrays, **extra, out=(*tuple(wanted), wanted[0]))


@pytest.mark.parametrize("name", KERNELS)
def test_a_strided_out_is_right_or_refused(rng, dtype, name):
    kernel, arrays, extra = calls(rng, dtype)[name]
    wanted = results(kernel(*arrays, **extra))
    for make in (strided, np.asfortranarray, lambda a: misaligned(a, 1), lambda a: np.flip(np.flip(a).copy())):
        out = tuple(make(np.full_like(w, 7)) for w in wanted)
        try:
            kernel(*arrays, **extra, out=out if len(out) > 1 else out[0])
        except (ValueError, TypeError) as error:
            assert "out" in str(error)
            assert all(np.all(o == 7) for o in out)
        else:
            assert all(np.array_equal(o, w) for o, w in zip(out, wanted, strict=True))


@pytest.mark.parametrize("name", KERNELS)
def test_an_out_that_overlaps_is_right_or_refused(rng, dtype, name):
    kernel, arrays, extra = calls(rng, dtype, rows=9, I=9, K=9)[name]
    wanted = results(kernel(*arrays, **extra))
    for shift in (-17, -1, 0, 1, 5, 9):
        for position in range(len(arrays)):
            for place in range(len(wanted)):
                array, shape = arrays[position], wanted[place].shape
                room = np.full(array.size + wanted[place].size + 64, 7, dtype)
                given = list(arrays)
                given[position] = room[32 : 32 + array.size].reshape(array.shape)
                given[position][...] = array
                out = [np.full_like(w, 7) for w in wanted]
                out[place] = room[32 + shift : 32 + shift + wanted[place].size].reshape(shape)
                try:
                    kernel(*given, **extra, out=tuple(out) if len(out) > 1 else out[0])
                except ValueError as error:
                    assert "out" in str(error)
                    assert np.array_equal(given[position], array)
                else:
                    assert all(np.array_equal(o, w) for o, w in zip(out, wanted, strict=True)), (shift, position)


@pytest.mark.parametrize("name", ["outer_gradient", "softmax_cross_entropy", "binary_cross_entropy", "squared_error"])
def test_outs_that_overlap_each_other_are_refused(rng, dtype, name):
    kernel, arrays, extra = calls(rng, dtype, rows=9, I=9, K=9)[name]
    first, second = kernel(*arrays, **extra)
    room = np.full(first.size + second.size, 7, dtype)
    out = room[: first.size].reshape(first.shape), room[: second.size].reshape(second.shape)
    with pytest.raises(ValueError, match="out"):
        kernel(*arrays, **extra, out=out)
    assert np.all(room == 7)


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
    assert np.array_equal(given, X)


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


def test_out_of_a_network(rng, dtype):
    net = network(dtype)
    X = rng.normal(size=(11, 9)).astype(dtype)
    for x in (X, X[0], X[:1]):
        wanted = net(x)
        out = np.full_like(wanted, np.nan)
        assert net(x, out=out) is out
        assert oracle.same(out, wanted)
        for misfit in (out[..., :-1], out.astype(int), np.full((3, 3), 7, dtype), read_only(out), out.tolist()):
            with pytest.raises((ValueError, TypeError), match="out"):
                net(x, out=misfit)
    square = fastmlp.MLP([9, 9], output_activation="tanh", dtype=dtype)
    wanted, given = square(X), X.copy()
    try:
        square(given, out=given)
    except ValueError as error:
        assert "out" in str(error)
        assert np.array_equal(given, X)
    else:
        assert oracle.same(given, wanted)
    before = square.params.copy()
    for inside in (square.params[:9], square.params[3:12], square.weights[0][0], square.biases[0]):
        wanted = square(X[0])
        try:
            square(X[0], out=inside)
        except ValueError as error:
            assert "out" in str(error)
            assert oracle.same(square.params, before)
        else:
            assert oracle.same(np.asarray(inside), wanted)
            square.params[...] = before


def test_inputs_and_results_do_not_share_memory(rng, dtype):
    net = network(dtype)
    X = rng.normal(size=(4, 9)).astype(dtype)
    first = net(X)
    kept = first.copy()
    net(X + 1)
    assert oracle.same(first, kept)
    z = rng.normal(size=(4, 9)).astype(dtype)
    assert not np.shares_memory(kernels.identity(z), z)
