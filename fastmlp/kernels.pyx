"""Single kernels on arrays, in float32 and float64: what networks are made of, for use by themselves.

Every function takes array_likes, works in float32 if all that is floating is float32 (or float16), else in float64, and
writes to `out=` if that is given (a tuple where there are several results): C-contiguous, of the result's shape and
dtype. A 1-d z is one row. Sums of products run in ascending order by fused multiply-adds, those across a row go into 16
partial sums that are folded in halves: results have the same bits on every CPU.
reference.py says the same in NumPy.

Errors in ulp are in units of the last place of the exact result where that is a normal number; a smaller one may be 0.
"""

cimport numpy as cnp
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc

import numpy as np

from fastmlp._core cimport matmul_scratch, operations
from fastmlp._csrc cimport (
    FM_LOG_SOFTMAX,
    FM_LOGSUMEXP,
    FM_SOFTMAX,
    fm_ops,
)

from fastmlp import _arrays, _core, _names, losses

cnp.import_array()


cdef const fm_ops *_ops(dtype) except NULL:
    return operations(dtype.itemsize == 8)


cdef inline void *_data(a) noexcept:
    return cnp.PyArray_DATA(<cnp.ndarray>a) if a is not None else NULL


cdef cnp.ndarray _output(out, shape, dtype):
    """The array to write to: a new one, or the caller's, checked to be right."""
    return np.empty(shape, dtype) if out is None else _arrays.output(out, shape, dtype)


cdef tuple _two_outputs(out, first_shape, second_shape, dtype):
    """The arrays to write two results to: new ones, or the caller's, right and apart from each other."""
    if out is None:
        return np.empty(first_shape, dtype), np.empty(second_shape, dtype)
    if not isinstance(out, tuple) or len(out) != 2:
        raise TypeError(f"out is {type(out).__name__}; it must be a tuple of two arrays")
    first, second = _arrays.output(out[0], first_shape, dtype), _arrays.output(out[1], second_shape, dtype)
    if _core.overlap(first, second):
        raise ValueError("the arrays of out overlap each other; each result needs memory of its own")
    return first, second


# ---- products ----


cdef cnp.ndarray _strided(W, dtype):
    """W itself where C can step through it, else a copy."""
    cdef cnp.ndarray a = np.asarray(W)
    cdef int i
    cdef ptrdiff_t itemsize = dtype.itemsize
    cdef bint steps = a.dtype == dtype and cnp.PyArray_ISNOTSWAPPED(a) and cnp.PyArray_ISALIGNED(a)
    for i in range(cnp.PyArray_NDIM(a)):
        steps = steps and cnp.PyArray_STRIDE(a, i) % itemsize == 0
    return a if steps else _arrays.floats(a, dtype, "W")


cdef _product(W, X, b, activation, out, bint one_row):
    cdef cnp.ndarray weights
    cdef int kind = _names.ACTIVATIONS.index(_names.check_name(activation, _names.ACTIVATIONS, "activation"))
    cdef ptrdiff_t B, I, O, W_row, W_column, itemsize
    cdef const fm_ops *ops
    cdef void *y
    cdef void *x
    cdef void *w
    cdef void *bias
    cdef void *scratch
    name = "x" if one_row else "X"
    dtype = _arrays.common_dtype(W, X) if b is None else _arrays.common_dtype(W, X, b)
    weights = _strided(W, dtype)
    rows = _arrays.floats(X, dtype, name)
    if weights.ndim != 2 or rows.ndim != (1 if one_row else 2) or rows.shape[-1] != weights.shape[1]:
        wanted = "(O, I) and (I,)" if one_row else "(O, I) and (B, I)"
        raise ValueError(f"W has shape {np.shape(W)} and {name} {rows.shape}; they must be {wanted}")
    O, I = weights.shape[0], weights.shape[1]
    B = 1 if one_row else rows.shape[0]
    if b is not None:
        b = _arrays.floats(b, dtype, "b")
        if b.shape != (O,):
            raise ValueError(f"b has shape {b.shape}; it must be ({O},)")
    result = _output(out, (*rows.shape[:-1], O), dtype)
    if out is not None:
        weights, rows = _arrays.apart(weights, result), _arrays.apart(rows, result)
        b = None if b is None else _arrays.apart(b, result)
    ops = _ops(dtype)
    itemsize = dtype.itemsize
    W_row, W_column = weights.strides[0] // itemsize, weights.strides[1] // itemsize
    y, x, w, bias = _data(result), _data(rows), _data(weights), _data(b)
    scratch = PyMem_RawMalloc(matmul_scratch(I) * itemsize)
    if scratch == NULL:
        raise MemoryError
    with nogil:
        ops.matmul(kind, y, x, w, bias, B, I, O, W_row, W_column, scratch)
    PyMem_RawFree(scratch)
    return result


def matvec(W, x, b=None, activation="identity", *, out=None):
    """r(W x + b): one row through one layer.

    Parameters
    ----------
    W : array_like, shape (O, I)
        Of any strides.
    x : array_like, shape (I,)
    b : array_like, shape (O,), optional
    activation : str, default "identity"
    out : ndarray, shape (O,), optional

    Returns
    -------
    ndarray, shape (O,)

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.matvec([[1.0, 2.0], [3.0, 4.0]], [1.0, -1.0], [0.0, 2.0], "relu")
    array([0., 1.])
    """
    return _product(W, x, b, activation, out, True)


def matmul(X, W, b=None, activation="identity", *, out=None):
    """r(X W^T + b): a batch through one layer.

    Parameters
    ----------
    X : array_like, shape (B, I)
    W : array_like, shape (O, I)
        Of any strides; fastest where the outputs lie next to each other, as in `net.weights`.
    b : array_like, shape (O,), optional
    activation : str, default "identity"
    out : ndarray, shape (B, O), optional

    Returns
    -------
    ndarray, shape (B, O)
        Each row has the bits that matvec gives it.

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.matmul([[1.0, -1.0], [0.0, 1.0]], [[1.0, 2.0], [3.0, 4.0]])
    array([[-1., -1.],
           [ 2.,  4.]])
    """
    return _product(W, X, b, activation, out, False)


def outer_gradient(dz, X, *, out=None):
    """dW = dz^T X and db = the sum of the rows of dz: a layer's gradient over a batch.

    Parameters
    ----------
    dz : array_like, shape (B, O)
    X : array_like, shape (B, I)
    out : (dW, db), optional

    Returns
    -------
    dW : ndarray, shape (O, I)
    db : ndarray, shape (O,)

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> dW, db = kernels.outer_gradient([[1.0], [2.0]], [[3.0, 4.0], [5.0, 6.0]])
    >>> dW, db
    (array([[13., 16.]]), array([3.]))
    """
    cdef ptrdiff_t B, I, O
    cdef const fm_ops *ops
    cdef void *W_data
    cdef void *b_data
    cdef void *dz_data
    cdef void *x_data
    cdef void *scratch
    dtype = _arrays.common_dtype(dz, X)
    dz, X = _arrays.floats(dz, dtype, "dz"), _arrays.floats(X, dtype, "X")
    if dz.ndim != 2 or X.ndim != 2 or len(dz) != len(X):
        raise ValueError(f"dz has shape {dz.shape} and X {X.shape}; they must be (B, O) and (B, I)")
    B, O, I = dz.shape[0], dz.shape[1], X.shape[1]
    dW, db = _two_outputs(out, (O, I), (O,), dtype)
    if out is not None:
        dz, X = _arrays.apart(dz, dW, db), _arrays.apart(X, dW, db)
    ops = _ops(dtype)
    W_data, b_data, dz_data, x_data = _data(dW), _data(db), _data(dz), _data(X)
    scratch = PyMem_RawMalloc(matmul_scratch(B) * <ptrdiff_t>dtype.itemsize)
    if scratch == NULL:
        raise MemoryError
    with nogil:
        ops.outer_gradient(W_data, b_data, dz_data, x_data, B, O, I, scratch)
    PyMem_RawFree(scratch)
    return dW, db


# ---- rows of logits ----


cdef _rows(z, dtype):
    """z (B, K), or one row (K,), checked."""
    z = _arrays.floats(z, dtype, "z")
    if z.ndim not in (1, 2) or z.shape[-1] == 0:
        raise ValueError(f"z has shape {z.shape}; it must be (B, K), or (K,) for one row, with K at least 1")
    return z


cdef _reduce(int kind, z, out):
    cdef ptrdiff_t B, K
    cdef const fm_ops *ops
    cdef void *to
    cdef void *from_
    z = _rows(z, None)
    result = _output(out, z.shape[:-1] if kind == FM_LOGSUMEXP else z.shape, z.dtype)
    if out is not None:
        z = _arrays.apart(z, result)
    ops = _ops(z.dtype)
    K = z.shape[z.ndim - 1]
    B = z.size // K
    to, from_ = _data(result), _data(z)
    with nogil:
        ops.row_reduction(kind, to, from_, B, K)
    return result


def logsumexp(z, *, out=None):
    """log sum exp of each row: a + log sum exp(z - a), a the largest; finite for finite z.

    Errs by at most 1.52 ulp of max(1, |max z|, |LSE|) in float32, 1.83 in float64 (samples of 2 to 100 classes).

    Parameters
    ----------
    z : array_like, shape (B, K), or (K,) for one row
    out : ndarray, optional

    Returns
    -------
    ndarray, shape (B,), or () for one row
        -inf for a row of -inf, +inf for one with +inf, NaN for one with NaN.

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.logsumexp([[1e4, 1e4], [0.0, -1e4]]).round(3)
    array([10000.693,     0.   ])
    """
    return _reduce(FM_LOGSUMEXP, z, out)


def softmax(z, *, out=None):
    """exp(z - a) / sum exp(z - a) of each row, a the largest.

    Parameters
    ----------
    z : array_like, shape (B, K), or (K,) for one row
        -inf among finite numbers (a mask) gets 0.
    out : ndarray, optional

    Returns
    -------
    ndarray, of z's shape
        NaN throughout a row that holds NaN or +inf, or nothing but -inf.

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.softmax([0.0, 0.0])
    array([0.5, 0.5])
    """
    return _reduce(FM_SOFTMAX, z, out)


def log_softmax(z, *, out=None):
    """(z - a) - log sum exp(z - a) of each row, a the largest.

    Parameters
    ----------
    z : array_like, shape (B, K), or (K,) for one row
    out : ndarray, optional

    Returns
    -------
    ndarray, of z's shape

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.log_softmax([0.0, -1e4])
    array([     0., -10000.])
    """
    return _reduce(FM_LOG_SOFTMAX, z, out)


# ---- losses ----


cdef _loss(settings, z, y, out):
    cdef ptrdiff_t B, K
    cdef int kind = _names.LOSSES.index(settings.name)
    cdef double parameter = settings.parameter
    cdef bint has_classes = settings.name in losses.CLASSES
    cdef const fm_ops *ops
    cdef void *lost
    cdef void *slope
    cdef void *logits
    cdef void *wanted
    dtype = _arrays.common_dtype(z) if has_classes else _arrays.common_dtype(z, y)
    z = _rows(z, dtype)
    K = z.shape[z.ndim - 1]
    B = z.size // K
    if has_classes:
        y = _arrays.classes(y, K, "t")
    else:
        y = _arrays.targets(y, K, dtype, z.ndim == 1)
    if len(y) != B:
        target = "t" if has_classes else "y"
        raise ValueError(f"z has shape {z.shape} and {target} {y.shape}; they must have as many rows as each other")
    loss, dz = _two_outputs(out, z.shape[:-1], z.shape, dtype)
    if out is not None:
        z, y = _arrays.apart(z, loss, dz), _arrays.apart(y, loss, dz)
    ops = _ops(dtype)
    lost, slope, logits, wanted = _data(loss), _data(dz), _data(z), _data(y)
    with nogil:
        ops.loss(kind, parameter, lost, slope, logits, wanted, B, K)
    return loss, dz


def softmax_cross_entropy(z, t, *, label_smoothing=0.0, out=None):
    """Cross-entropy of softmax(z) for the true classes, and its gradient, in one pass.

    loss = (a - z_t) + log sum exp(z - a), a the largest, which unlike LSE - z_t does not cancel;
    dz = softmax(z) - onehot(t); with label smoothing onehot(t) becomes (1 - s) onehot(t) + s / K.
    Without it the loss errs by at most 2.24 ulp of max(1, loss) in float32, 2.36 in float64 (samples of 2 to
    100 classes).

    Parameters
    ----------
    z : array_like, shape (B, K), or (K,) for one row
    t : array_like of int, shape (B,), or () for one row
        Classes from 0 to K - 1.
    label_smoothing : float, default 0
        In [0, 1).
    out : (loss, dz), optional

    Returns
    -------
    loss : ndarray, shape (B,), or ()
    dz : ndarray, of z's shape

    Raises
    ------
    ValueError
        For a class out of range, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> loss, dz = kernels.softmax_cross_entropy([[20.0, 0.0]], [0])
    >>> loss.round(11)
    array([2.06e-09])
    """
    return _loss(losses.SoftmaxCrossEntropy(label_smoothing), z, t, out)


def focal(z, t, *, gamma=2.0, out=None):
    """Softmax cross-entropy times (1 - p)^gamma, p the true class's probability, and its gradient (Lin et al. 2017).

    Parameters
    ----------
    z : array_like, shape (B, K), or (K,) for one row
    t : array_like of int, shape (B,), or () for one row
        Classes from 0 to K - 1.
    gamma : float, default 2
        At least 0.
    out : (loss, dz), optional

    Returns
    -------
    loss : ndarray, shape (B,), or ()
    dz : ndarray, of z's shape

    Raises
    ------
    ValueError
        For a class or gamma out of range, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> loss, dz = kernels.focal([[0.0, 0.0]], [0], gamma=1.0)
    >>> loss.round(4)  # log(2) / 2
    array([0.3466])
    """
    return _loss(losses.Focal(gamma), z, t, out)


def binary_cross_entropy(z, y, *, label_smoothing=0.0, out=None):
    """Cross-entropy of sigmoid(z) summed over outputs, and its gradient sigmoid(z) - y.

    loss = sum of max(z, 0) - z y + log(1 + exp(-|z|)); with label smoothing y becomes (1 - s) y + s / 2.

    Parameters
    ----------
    z : array_like, shape (B, K), or (K,) for one row
    y : array_like, of z's shape, or (B,) where K = 1
        From 0 to 1, which is not checked.
    label_smoothing : float, default 0
        In [0, 1).
    out : (loss, dz), optional

    Returns
    -------
    loss : ndarray, shape (B,), or ()
    dz : ndarray, of z's shape

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, a setting out of range, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> loss, dz = kernels.binary_cross_entropy([[0.0]], [[1.0]])
    >>> dz
    array([[-0.5]])
    """
    return _loss(losses.BinaryCrossEntropy(label_smoothing), z, y, out)


def binary_focal(z, y, *, gamma=2.0, out=None):
    """Binary cross-entropy times (1 - p)^gamma, summed over outputs, and its gradient.

    p is the probability of the truth, sigmoid(z) or 1 - sigmoid(z) (Lin et al. 2017).

    Parameters
    ----------
    z : array_like, shape (B, K), or (K,) for one row
    y : array_like, of z's shape, or (B,) where K = 1
        0 or 1, which is not checked.
    gamma : float, default 2
        At least 0.
    out : (loss, dz), optional

    Returns
    -------
    loss : ndarray, shape (B,), or ()
    dz : ndarray, of z's shape

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, a setting out of range, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> loss, dz = kernels.binary_focal([[0.0]], [[1.0]], gamma=1.0)
    >>> loss.round(4)  # log(2) / 2
    array([0.3466])
    """
    return _loss(losses.BinaryFocal(gamma), z, y, out)


def squared_error(z, y, *, out=None):
    """1/2 |z - y|^2 summed over outputs, and its gradient z - y.

    Parameters
    ----------
    z : array_like, shape (B, K), or (K,) for one row
    y : array_like, of z's shape, or (B,) where K = 1
    out : (loss, dz), optional

    Returns
    -------
    loss : ndarray, shape (B,), or ()
    dz : ndarray, of z's shape

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.squared_error([[3.0, 1.0]], [[1.0, 1.0]])
    (array([2.]), array([[2., 0.]]))
    """
    return _loss(losses.SquaredError(), z, y, out)


def absolute_error(z, y, *, out=None):
    """abs(z - y) summed over outputs, and its gradient, the sign of z - y.

    The gradient at z = y is 0.

    Parameters
    ----------
    z : array_like, shape (B, K), or (K,) for one row
    y : array_like, of z's shape, or (B,) where K = 1
    out : (loss, dz), optional

    Returns
    -------
    loss : ndarray, shape (B,), or ()
    dz : ndarray, of z's shape

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.absolute_error([[3.0, 1.0]], [[1.0, 1.0]])
    (array([2.]), array([[1., 0.]]))
    """
    return _loss(losses.AbsoluteError(), z, y, out)


def huber(z, y, *, delta=1.0, out=None):
    """Huber's loss summed over outputs, and its gradient (Huber 1964).

    1/2 d^2 where abs(d) <= delta for d = z - y, else delta (abs(d) - delta / 2); its gradient is d cut to +-delta.

    Parameters
    ----------
    z : array_like, shape (B, K), or (K,) for one row
    y : array_like, of z's shape, or (B,) where K = 1
    delta : float, default 1
        Positive.
    out : (loss, dz), optional

    Returns
    -------
    loss : ndarray, shape (B,), or ()
    dz : ndarray, of z's shape

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, a setting out of range, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.huber([[3.0, 1.5]], [[1.0, 1.0]])
    (array([1.625]), array([[1. , 0.5]]))
    """
    return _loss(losses.Huber(delta), z, y, out)


def quantile(z, y, *, q=0.5, out=None):
    """The pinball loss summed over outputs, and its gradient (Koenker & Bassett 1978).

    max(q (y - z), (1 - q) (z - y)); its gradient is -q below y, 1 - q above, and 0 at z = y.

    Parameters
    ----------
    z : array_like, shape (B, K), or (K,) for one row
    y : array_like, of z's shape, or (B,) where K = 1
    q : float, default 0.5
        Between 0 and 1.
    out : (loss, dz), optional

    Returns
    -------
    loss : ndarray, shape (B,), or ()
    dz : ndarray, of z's shape

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, a setting out of range, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.quantile([[3.0, 0.0]], [[1.0, 1.0]], q=0.75)
    (array([1.25]), array([[ 0.25, -0.75]]))
    """
    return _loss(losses.Quantile(q), z, y, out)


def poisson(z, y, *, out=None):
    """Half the Poisson deviance for the means exp(z) summed over outputs, and its gradient exp(z) - y.

    loss = sum of y (log y - z) - y + exp(z).

    Parameters
    ----------
    z : array_like, shape (B, K), or (K,) for one row
    y : array_like, of z's shape, or (B,) where K = 1
        At least 0, which is not checked.
    out : (loss, dz), optional

    Returns
    -------
    loss : ndarray, shape (B,), or ()
    dz : ndarray, of z's shape

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> loss, dz = kernels.poisson([[0.0]], [[2.0]])
    >>> dz
    array([[-1.]])
    """
    return _loss(losses.Poisson(), z, y, out)


# ---- activations ----


cdef _map(name, bint derivative, z, out):
    cdef int kind = _names.ACTIVATIONS.index(name)
    cdef const fm_ops *ops
    cdef void *to
    cdef void *from_
    cdef ptrdiff_t n
    cdef cnp.ndarray a = z if _core.float_size(z) else _arrays.floats(z, None, "z")
    cdef cnp.ndarray result
    if out is None:
        result = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), 0)
    else:
        result = _arrays.output(out, (<object>a).shape, a.dtype)
        if result is not a:  # in place is fine, a shifted overlap is not
            a = _arrays.apart(a, result)
    ops = operations(cnp.PyArray_ITEMSIZE(a) == 8)
    n, to, from_ = cnp.PyArray_SIZE(a), cnp.PyArray_DATA(result), cnp.PyArray_DATA(a)
    with nogil:
        if derivative:
            ops.derivative(kind, to, from_, n)
        else:
            ops.activation(kind, to, from_, n)
    return result


def relu_mask(z, *, out=None):
    """1 where z > 0, else 0, in z's dtype.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.relu_mask([-1.0, 0.0, 2.0])
    array([0., 0., 1.])
    """
    return _map("relu", True, z, out)


def identity(z, *, out=None):
    """z, elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.identity([-1.0, 0.0, 2.0]).round(3)
    array([-1.,  0.,  2.])
    """
    return _map("identity", False, z, out)


def identity_derivative(z, *, out=None):
    """The derivative of identity: 1, elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.identity_derivative([-1.0, 0.0, 2.0]).round(3)
    array([1., 1., 1.])
    """
    return _map("identity", True, z, out)


def relu(z, *, out=None):
    """max(z, 0); max(0, NaN) is NaN and -0 becomes +0, elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.relu([-1.0, 0.0, 2.0]).round(3)
    array([0., 0., 2.])
    """
    return _map("relu", False, z, out)


def relu_derivative(z, *, out=None):
    """The derivative of relu: 1 where z > 0, else 0, elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.relu_derivative([-1.0, 0.0, 2.0]).round(3)
    array([0., 0., 1.])
    """
    return _map("relu", True, z, out)


def leaky_relu(z, *, out=None):
    """z where z > 0, else 0.01 z, elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.leaky_relu([-1.0, 0.0, 2.0]).round(3)
    array([-0.01,  0.  ,  2.  ])
    """
    return _map("leaky_relu", False, z, out)


def leaky_relu_derivative(z, *, out=None):
    """The derivative of leaky_relu: 1 where z > 0, else 0.01, elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.leaky_relu_derivative([-1.0, 0.0, 2.0]).round(3)
    array([0.01, 0.01, 1.  ])
    """
    return _map("leaky_relu", True, z, out)


def elu(z, *, out=None):
    """z where z > 0, else exp(z) - 1 (Clevert et al. 2016, alpha = 1), elementwise.

    Errs by at most 0.95 ulp in float32 (all inputs), 1.19 in float64 (a dense sample).

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.elu([-1.0, 0.0, 2.0]).round(3)
    array([-0.632,  0.   ,  2.   ])
    """
    return _map("elu", False, z, out)


def elu_derivative(z, *, out=None):
    """The derivative of elu: 1 where z > 0, else exp(z), elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.elu_derivative([-1.0, 0.0, 2.0]).round(3)
    array([0.368, 1.   , 1.   ])
    """
    return _map("elu", True, z, out)


def gelu(z, *, out=None):
    """z Phi(z), with the exact normal distribution function (Hendrycks & Gimpel 2016), elementwise.

    Errs by at most 1.54 ulp of z in float32 (all inputs), 1.63 in float64 (a dense sample).

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.gelu([-1.0, 0.0, 2.0]).round(3)
    array([-0.159,  0.   ,  1.954])
    """
    return _map("gelu", False, z, out)


def gelu_derivative(z, *, out=None):
    """The derivative of gelu: Phi(z) + z phi(z), elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.gelu_derivative([-1.0, 0.0, 2.0]).round(3)
    array([-0.083,  0.5  ,  1.085])
    """
    return _map("gelu", True, z, out)


def silu(z, *, out=None):
    """z sigmoid(z) (Elfwing et al. 2018), elementwise.

    Errs by at most 3.35 ulp in float32 (all inputs), 3.08 in float64 (a dense sample).

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.silu([-1.0, 0.0, 2.0]).round(3)
    array([-0.269,  0.   ,  1.762])
    """
    return _map("silu", False, z, out)


def silu_derivative(z, *, out=None):
    """The derivative of silu: s + z s (1 - s) with s = sigmoid(z), elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.silu_derivative([-1.0, 0.0, 2.0]).round(3)
    array([0.072, 0.5  , 1.091])
    """
    return _map("silu", True, z, out)


def softplus(z, *, out=None):
    """log(1 + exp(z)), without overflow, elementwise.

    Errs by at most 1.75 ulp in float32 (all inputs), 2.09 in float64 (a dense sample).

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.softplus([-1.0, 0.0, 2.0]).round(3)
    array([0.313, 0.693, 2.127])
    """
    return _map("softplus", False, z, out)


def softplus_derivative(z, *, out=None):
    """The derivative of softplus: sigmoid(z), elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.softplus_derivative([-1.0, 0.0, 2.0]).round(3)
    array([0.269, 0.5  , 0.881])
    """
    return _map("softplus", True, z, out)


def tanh(z, *, out=None):
    """The hyperbolic tangent, elementwise.

    Errs by at most 1.53 ulp in float32 (all inputs), 1.55 in float64 (a dense sample).

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.tanh([-1.0, 0.0, 2.0]).round(3)
    array([-0.762,  0.   ,  0.964])
    """
    return _map("tanh", False, z, out)


def tanh_derivative(z, *, out=None):
    """The derivative of tanh: 1 - tanh(z)^2, elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.tanh_derivative([-1.0, 0.0, 2.0]).round(3)
    array([0.42 , 1.   , 0.071])
    """
    return _map("tanh", True, z, out)


def sigmoid(z, *, out=None):
    """1 / (1 + exp(-z)), without overflow, elementwise.

    Errs by at most 2.41 ulp in float32 (all inputs), 2.43 in float64 (a dense sample).

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.sigmoid([-1.0, 0.0, 2.0]).round(3)
    array([0.269, 0.5  , 0.881])
    """
    return _map("sigmoid", False, z, out)


def sigmoid_derivative(z, *, out=None):
    """The derivative of sigmoid: s (1 - s) with s = sigmoid(z), elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.sigmoid_derivative([-1.0, 0.0, 2.0]).round(3)
    array([0.197, 0.25 , 0.105])
    """
    return _map("sigmoid", True, z, out)


def exp(z, *, out=None):
    """e^z, elementwise.

    Errs by at most 0.91 ulp in float32 (all inputs), 0.91 in float64 (a dense sample).

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.exp([0.0, 1.0]).round(3)
    array([1.   , 2.718])
    """
    return _map("exp", False, z, out)


def exp_derivative(z, *, out=None):
    """The derivative of exp, which is exp.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.exp_derivative([0.0, 1.0]).round(3)
    array([1.   , 2.718])
    """
    return _map("exp", True, z, out)


def impulse(z, *, out=None):
    """1 where z == 0, else 0, elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.impulse([-1.0, 0.0, 2.0]).round(3)
    array([0., 1., 0.])
    """
    return _map("impulse", False, z, out)


def impulse_derivative(z, *, out=None):
    """Impulse has no useful derivative: this is a ValueError that says so."""
    raise ValueError("impulse has no useful derivative")


def heaviside(z, *, out=None):
    """1 where z >= 0, else 0, elementwise.

    Parameters
    ----------
    z : array_like, of any shape
    out : ndarray, of z's shape and dtype, optional
        May be z itself.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For what is not numbers, or shapes that do not fit.

    Examples
    --------
    >>> from fastmlp import kernels
    >>> kernels.heaviside([-1.0, 0.0, 2.0]).round(3)
    array([0., 1., 1.])
    """
    return _map("heaviside", False, z, out)


def heaviside_derivative(z, *, out=None):
    """Heaviside has no useful derivative: this is a ValueError that says so."""
    raise ValueError("heaviside has no useful derivative")
