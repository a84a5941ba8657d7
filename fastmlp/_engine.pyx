"""One network's plan and memory; one row, a batch, a pass of training: each one call into C without Python in between.

Everything that can be decided once is decided when a Network is built. Shapes and values arrive checked from mlp.py
through _arrays.py, except in __call__, whose short way for good rows pays for no Python at all.
"""

import os

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t

import numpy as np

from fastmlp._core cimport forward_scratch, operations, row_scratch, seconds, workspace
from fastmlp._csrc cimport fm_layer, fm_net, fm_ops, fm_optimizer, fm_training

from fastmlp import _arrays, _names
from fastmlp.optimizers import engine_settings
from fastmlp.threads import num_threads

cnp.import_array()

cdef extern from *:
    """
    static int take(int *busy, int now) { return __atomic_exchange_n(busy, now, __ATOMIC_ACQUIRE) != now; }
    static void give_back(int *busy) { __atomic_store_n(busy, 0, __ATOMIC_RELEASE); }
    """
    bint take(int *busy, int now) noexcept
    void give_back(int *busy) noexcept

cdef enum:
    LINE = 64                # bytes of a cache line: where every buffer starts
    ROW_STACK = 16384        # bytes of scratch for one row that are taken from the stack
    LONG_ROW = 100_000       # parameters: about 5 microseconds of work, from which on the GIL is released
    WORKER_FLOP = 1_000_000  # what a thread must get between two joins to be worth its waking

cdef double RETURN_SECONDS = 0.02  # how long C may train before Python looks for signals
cdef int generation = 1            # of processes: a fork copies a busy network, but not the thread that trains it


def _new_generation():
    global generation
    generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_generation)


cdef inline char *_aligned(void *p) noexcept nogil:
    return <char *>((<uintptr_t>p + LINE - 1) & ~<uintptr_t>(LINE - 1))


cdef cnp.ndarray _buffer(ptrdiff_t n, dtype):
    """n zeros that start on a cache line."""
    itemsize = dtype.itemsize
    raw = np.zeros(n + LINE // itemsize, dtype)
    cdef ptrdiff_t skip = (-<ptrdiff_t>raw.ctypes.data) % LINE // itemsize
    return raw[skip : skip + n]


cdef _fill(cnp.ndarray flat, value, name):
    """Copy a number, or an array of the same shape, into a flat buffer."""
    shape = np.shape(value)
    if shape not in ((), np.shape(flat)):
        raise ValueError(f"{name} has shape {shape}; the layers of this network need {np.shape(flat)}")
    flat[:] = value


def leading_dimension(ptrdiff_t outputs, ptrdiff_t itemsize):
    """Elements from one row of W to the next: whole cache lines, and never a multiple of 1 kB, which would put the rows
    of a column panel into a few sets of the cache."""
    cdef ptrdiff_t line = LINE // itemsize
    cdef ptrdiff_t ld = (outputs + line - 1) // line * line
    return ld + line if ld * itemsize % 1024 == 0 else ld


cdef class _Turn:
    """Holds a network busy. In C, so that no signal handler runs between taking it and the promise to give it back."""

    cdef Network net

    def __cinit__(self, net):
        self.net = net

    def __enter__(self):
        if not take(&self.net.busy, generation):
            raise RuntimeError("this network is being trained already, by a callback's caller or by another thread")

    def __exit__(self, *error):
        give_back(&self.net.busy)


cdef class Network:
    """A chain of dense layers with its parameters, gradients and optimizer state. The base of MLP and SiameseMLP.

    Parameters
    ----------
    layers : sequence of (inputs, outputs, activation name, dropout) per layer
    loss : Loss
    bias, siamese : bool
    dtype : numpy.dtype
    seed : int
        Of dropout.
    """

    cdef fm_net net
    cdef fm_layer *layers
    cdef const fm_ops *ops
    cdef int typenum
    cdef ptrdiff_t inputs, outputs, itemsize, row_bytes, n_weights
    cdef char *data
    cdef cnp.ndarray flat_params, flat_grads
    cdef readonly object dtype
    """The element type of the parameters and of all results."""
    cdef fm_optimizer rule
    cdef object optimizer
    cdef list slots
    cdef cnp.ndarray average
    cdef double clip_norm
    cdef uint64_t dropout_seed
    cdef public object epochs_done
    """Epochs of fit so far: each has an order of its own."""
    cdef public object reached
    """Where training is: (epoch, rows done of it, the sum of their losses), set at each return from C."""
    cdef cnp.ndarray space
    cdef object space_key
    cdef int busy  # the generation in which it was taken, or 0

    def __cinit__(self, *args, **kwargs):
        self.layers = NULL
        self.typenum = -1  # no array has it: a network that was never initialised takes no short way

    def __dealloc__(self):
        PyMem_RawFree(self.layers)

    def __init__(self, layers, loss, bias, siamese, dtype, seed):
        cdef ptrdiff_t at = 0, before = 0
        cdef fm_layer *l
        cdef int i
        if self.layers != NULL:
            raise RuntimeError("a network is built once; make a new one")
        self.dtype = dtype
        self.itemsize = dtype.itemsize
        self.typenum = cnp.NPY_DOUBLE if self.itemsize == 8 else cnp.NPY_FLOAT
        self.ops = operations(self.itemsize == 8)
        plan = []
        for inputs, outputs, activation, dropout in layers:
            ld = leading_dimension(outputs, self.itemsize)
            b = at + inputs * ld if bias else -1
            plan.append((inputs, outputs, ld, at, b, before, _names.ACTIVATIONS.index(activation), dropout))
            at += (inputs + bool(bias)) * ld
            before += ld
        self.layers = <fm_layer *>PyMem_RawMalloc(len(plan) * sizeof(fm_layer))
        if self.layers == NULL:
            raise MemoryError
        for i, (inputs, outputs, ld, W, b, before, activation, dropout) in enumerate(plan):
            l = &self.layers[i]
            l.inputs, l.outputs, l.ld, l.W, l.b, l.before, l.activation = inputs, outputs, ld, W, b, before, activation
            l.dropout = dropout
        self.net = fm_net(
            self.layers, len(plan), _names.LOSSES.index(loss.name), siamese, loss.parameter, 0
        )
        self.dropout_seed = seed
        self.inputs, self.outputs = plan[0][0], plan[-1][1]
        self.row_bytes = row_scratch(&self.net) * self.itemsize + LINE
        self.n_weights = sum([inputs * outputs for inputs, outputs, *_ in layers])
        self.flat_params = _buffer(at, dtype)
        self.flat_grads = _buffer(at, dtype)
        self.data = <char *>cnp.PyArray_DATA(self.flat_params)
        self.epochs_done = 0
        self.reached = (0, 0, 0.0)
        self._forget()

    def _train_as_scikit_learn(self):
        """From now on: what that means is said in csrc/fastmlp.h."""
        self.net.as_scikit_learn = 1

    # ---- views ----

    @property
    def params(self):
        """The parameters: one flat buffer, for each layer W (in, ld) and then b (ld,), rows padded to `ld`.

        Assignment copies into the buffer, so that ``net.params *= 0.5`` does what it says.
        """
        return self.flat_params

    @params.setter
    def params(self, value):
        if value is not self.flat_params:
            _fill(self.flat_params, value, "params")

    @property
    def grads(self):
        """dJ/dparams of the last backward pass, laid out like params. Assignment copies."""
        return self.flat_grads

    @grads.setter
    def grads(self, value):
        if value is not self.flat_grads:
            _fill(self.flat_grads, value, "grads")

    def _views(self, cnp.ndarray flat):
        """(W, b) per layer, as views of a buffer that is laid out like params: W (O, I), b (O,) or None."""
        views = []
        for i in range(self.net.n_layers):
            l = self.layers[i]
            W = flat[l.W : l.W + l.inputs * l.ld].reshape(l.inputs, l.ld)[:, : l.outputs].T
            views.append((W, None if l.b < 0 else flat[l.b : l.b + l.outputs]))
        return views

    @property
    def _average(self):
        """The moving average of params under an optimizer with `ema`, laid out like them; else None."""
        return self.average

    # ---- inference ----

    def __call__(self, x, out=None):
        """The outputs of the network for one row or many.

        Parameters
        ----------
        x : array_like, shape (I,) or (B, I)
            Converted to the network's dtype where it has another.
        out : ndarray, shape (O,) or (B, O), optional
            Where to put the result: C-contiguous, of the network's dtype, apart from the parameters.

        Returns
        -------
        ndarray, shape (O,) or (B, O)
            After `output_activation`. The bits of a row do not depend on its batch, nor on threads or CPU.

        Raises
        ------
        TypeError, ValueError
            If x cannot be converted without loss of its meaning, or a shape is wrong.

        Examples
        --------
        >>> import fastmlp, numpy as np
        >>> net = fastmlp.MLP([3, 8, 2], seed=1)
        >>> X = np.ones((5, 3), np.float32)
        >>> bool((net(X)[0] == net(X[0])).all())
        True
        """
        cdef cnp.ndarray a, y
        cdef cnp.npy_intp shape[2]
        cdef int ndim
        if not cnp.PyArray_CheckExact(x):
            return self._many(x, out)
        a = <cnp.ndarray>x
        ndim = cnp.PyArray_NDIM(a)
        if (
            cnp.PyArray_TYPE(a) != self.typenum
            or not cnp.PyArray_ISCARRAY_RO(a)
            or ndim not in (1, 2)
            or cnp.PyArray_DIM(a, ndim - 1) != self.inputs
        ):
            return self._many(x, out)
        shape[0] = cnp.PyArray_DIM(a, 0)
        shape[ndim - 1] = self.outputs
        if out is None:
            y = cnp.PyArray_EMPTY(ndim, shape, self.typenum, 0)
        else:
            y = self._output(out, ndim, shape)
            if ndim == 2:
                a = _arrays.apart(a, y)
        if ndim == 1:
            self._row(<char *>cnp.PyArray_DATA(y), <char *>cnp.PyArray_DATA(a))
        else:
            self._rows(cnp.PyArray_DATA(y), cnp.PyArray_DATA(a), NULL, shape[0], None)
        return y

    cdef cnp.ndarray _output(self, out, int ndim, cnp.npy_intp *shape):
        """out, if results can be written there; the errors are told by _arrays."""
        cdef cnp.ndarray y
        cdef char *start
        if cnp.PyArray_CheckExact(out):
            y = <cnp.ndarray>out
            start = <char *>cnp.PyArray_DATA(y)
            if (
                cnp.PyArray_TYPE(y) == self.typenum
                and cnp.PyArray_ISCARRAY(y)
                and cnp.PyArray_NDIM(y) == ndim
                and cnp.PyArray_DIM(y, 0) == shape[0]
                and cnp.PyArray_DIM(y, ndim - 1) == shape[ndim - 1]
                and (start >= self.data + cnp.PyArray_NBYTES(self.flat_params)
                     or start + cnp.PyArray_NBYTES(y) <= self.data)
            ):
                return y
        wanted = [shape[i] for i in range(ndim)]
        return _arrays.output(out, tuple(wanted), self.dtype, self.flat_params)

    cdef int _row(self, char *y, const char *x) except -1:
        cdef char stack[ROW_STACK]
        cdef char *heap = NULL
        cdef char *scratch = stack
        if self.row_bytes > ROW_STACK:
            heap = <char *>PyMem_RawMalloc(self.row_bytes)
            if heap == NULL:
                raise MemoryError
            scratch = heap
        scratch = _aligned(scratch)
        if self.n_weights < LONG_ROW:
            self.ops.row(&self.net, self.data, y, x, scratch)
        else:
            with nogil:
                self.ops.row(&self.net, self.data, y, x, scratch)
        PyMem_RawFree(heap)
        return 0

    def _many(self, x, out=None):
        """__call__ for what is not an array of the right type and shape."""
        if self.layers == NULL:
            raise RuntimeError("this network was never initialised; its class's __init__ must run first")
        rows, one_row = self._inputs(x, "x")
        shape = (() if one_row else (len(rows[0]),)) + (() if self.net.siamese else (self.outputs,))
        if out is None:
            y = np.empty(shape, self.dtype)
        else:
            y = _arrays.output(out, shape, self.dtype, self.flat_params)
            rows = tuple([_arrays.apart(x, y) for x in rows])
        self._forward(rows, y)
        return y

    def _forward(self, tuple X, cnp.ndarray y, threads=None):
        """y (B, O) or (O,) <- the outputs for checked rows X[0] (B, I), and X[1] for siamese networks."""
        cdef cnp.ndarray first = X[0], second = X[len(X) - 1]
        self._rows(
            cnp.PyArray_DATA(y), cnp.PyArray_DATA(first), cnp.PyArray_DATA(second), cnp.PyArray_DIM(first, 0), threads
        )

    cdef int _rows(self, void *y, const void *first, const void *second, ptrdiff_t B, threads) except -1:
        cdef const void *data[2]
        cdef int workers
        cdef void *scratch
        if B == 1 and not self.net.siamese:
            return self._row(<char *>y, <char *>first)
        workers = self._workers(B, threads)
        data[0], data[1] = first, second
        scratch = PyMem_RawMalloc(forward_scratch(&self.net, workers) * self.itemsize + LINE)
        if scratch == NULL:
            raise MemoryError
        with nogil:
            self.ops.forward(&self.net, self.data, y, data, B, _aligned(scratch), workers)
        PyMem_RawFree(scratch)
        return 0

    cdef int _workers(self, ptrdiff_t B, threads) except -1:
        """How many threads B rows are worth: between two joins, each weight meets each row in one multiply-add."""
        cdef ptrdiff_t worth = <ptrdiff_t>(2.0 * self.n_weights * B / WORKER_FLOP)
        if worth < 2 and threads is None:
            return 1
        return max(1, min(num_threads(threads), worth, B))

    # ---- training ----

    cdef int _prepare(self, fm_training *t, tuple X, y, ptrdiff_t batch, threads) except -1:
        """All of a pass but its order and optimizer; the workspace is kept for the next pass of the same batch."""
        cdef int i
        t.net = &self.net
        t.params, t.grads = self.data, cnp.PyArray_DATA(self.flat_grads)
        for i in range(len(X)):
            t.X[i] = cnp.PyArray_DATA(<cnp.ndarray>X[i])
        t.y = cnp.PyArray_DATA(<cnp.ndarray>y) if y is not None else NULL
        t.order = NULL
        t.rows, t.batch = len(X[0]), min(batch, <ptrdiff_t>len(X[0]))
        t.next, t.loss = 0, 0.0
        t.optimizer = NULL
        t.weights, t.rates, t.losses, t.average = NULL, NULL, NULL, NULL
        t.l1, t.l2, t.max_norm = 0.0, 0.0, 0.0
        t.clip_norm, t.average_decay, t.seed = 0.0, 0.0, self.dropout_seed
        t.threads = self._workers(t.batch, threads)
        if self.space_key != (t.batch, t.threads):
            self.space_key = None
            self.space = None  # the old one goes before the new one comes
            self.space = _buffer(workspace(&self.net, t.batch, t.threads), self.dtype)
            self.space_key = (t.batch, t.threads)
        t.workspace = cnp.PyArray_DATA(self.space)
        return 0

    def _turn(self):
        """A context in which this network is trained by its holder alone."""
        return _Turn(self)

    def _train(self, tuple X, y, order, ptrdiff_t batch, optimizer, threads=None, epoch=0, ptrdiff_t start=0, stop=None,
               double loss=0, *, cnp.ndarray weights=None, cnp.ndarray rates=None, cnp.ndarray losses=None,
               regularization=None):
        """Steps over the rows start..stop of X in `order` (uint32, or None), each of `batch` rows; the sum of their
        losses, added to `loss`.

        weights (rows,), of the network's dtype, are those of the rows in each step's mean. rates and losses (steps of
        all rows,), float64, are the learning rate of each step and what is filled with its mean loss.

        FloatingPointError, with the number of the step as its argument, where a loss is not finite: nothing of that
        step remains.
        """
        cdef fm_training t
        cdef fm_optimizer rule = self.rule
        held = self.optimizer, self.slots, self.average, self.clip_norm
        self._prepare(&t, X, y, batch, threads)
        self._set_optimizer(optimizer, &t)
        if order is not None:
            t.order = <uint32_t *>cnp.PyArray_DATA(<cnp.ndarray>order)
        if weights is not None:
            t.weights = cnp.PyArray_DATA(weights)
        if rates is not None:
            t.rates = <const double *>cnp.PyArray_DATA(rates)
        if losses is not None:
            t.losses = <double *>cnp.PyArray_DATA(losses)
        if regularization is not None:
            t.l1, t.l2, t.max_norm = regularization.l1, regularization.l2, regularization.max_norm or 0.0
        t.next, t.loss = start, loss
        if stop is not None:
            t.rows = stop
        try:
            return self._run(&t, epoch)
        except FloatingPointError:
            if t.next == start:  # no step was done: the optimizer stays what it was, too
                self.optimizer, self.slots, self.average, self.clip_norm = held
                self.rule = rule
            raise

    def _gradient(self, tuple X, y, cnp.ndarray weights=None):
        """The mean loss over all rows of X, weighted where there are weights (rows,); its gradient in grads."""
        cdef fm_training t
        self._prepare(&t, X, y, len(X[0]), None)
        if weights is not None:
            t.weights = cnp.PyArray_DATA(weights)
        return self._run(&t, 0) / t.rows

    cdef double _run(self, fm_training *t, epoch) except? -1:
        cdef int status
        self.reached = (epoch, t.next, t.loss)
        while t.next < t.rows:
            with nogil:
                status = self.ops.train(t, seconds() + RETURN_SECONDS)
            self.reached = (epoch, t.next, t.loss)
            if status:
                raise FloatingPointError(t.next // t.batch)
            PyErr_CheckSignals()
        return t.loss

    def _backward(self, tuple X, cnp.ndarray dz):
        """grads <- from dz (B, O); dJ/dX (B, I), for siamese networks (2 B, I)."""
        cdef fm_training t
        self._prepare(&t, X, None, len(X[0]), None)
        cdef cnp.ndarray dX = np.empty((len(X) * len(X[0]), self.inputs), self.dtype)
        with nogil:
            self.ops.backward(&t, cnp.PyArray_DATA(dz), cnp.PyArray_DATA(dX))
        return dX

    def _update(self, optimizer):
        """One step of the optimizer from grads as they stand."""
        cdef fm_training t
        t.net, t.params, t.grads, t.average = &self.net, self.data, cnp.PyArray_DATA(self.flat_grads), NULL
        self._set_optimizer(optimizer, &t)
        with nogil:
            self.ops.update(&t)

    # ---- optimizer state ----

    cdef int _set_optimizer(self, optimizer, fm_training *t) except -1:
        """Take on settings, and give them to t: state goes on within a class and starts afresh with another."""
        cdef int i
        if optimizer is not self.optimizer or optimizer is None:
            self._take_on(optimizer)
        t.optimizer = &self.rule
        for i in range(len(self.slots)):
            t.slots[i] = cnp.PyArray_DATA(<cnp.ndarray>self.slots[i])
        t.clip_norm = self.clip_norm
        if self.average is not None:
            t.average, t.average_decay = cnp.PyArray_DATA(self.average), optimizer.ema
        return 0

    cdef int _take_on(self, optimizer) except -1:
        settings = engine_settings(optimizer, self.dtype)
        slots, average = self.slots, self.average
        if type(optimizer) is not type(self.optimizer):
            slots, average = [_buffer(self.flat_params.size, self.dtype) for _ in range(optimizer.slots)], None
        if optimizer.ema is None:
            average = None
        elif average is None:
            average = _buffer(self.flat_params.size, self.dtype)
            average[:] = self.flat_params
        if slots is not self.slots:
            self._forget()
        self.slots, self.average = slots, average
        self.rule.rule, self.rule.plain_epsilon = settings["rule"], settings["plain_epsilon"]
        self.clip_norm = settings["clip_norm"]
        self.rule.learning_rate = settings["learning_rate"]
        self.rule.weight_decay = settings["weight_decay"]
        self.rule.decoupled_decay = settings["decoupled_decay"]
        self.rule.momentum = settings["momentum"]
        self.rule.nesterov = settings["nesterov"]
        self.rule.beta1, self.rule.beta2 = settings["beta1"], settings["beta2"]
        self.rule.epsilon = settings["epsilon"]
        self.optimizer = optimizer
        return 0

    def reset_optimizer(self):
        """Forget the optimizer's moments and step count: the next step starts afresh.

        Examples
        --------
        >>> import fastmlp
        >>> fastmlp.MLP([2, 4, 1], loss="squared_error").reset_optimizer()
        """
        with _Turn(self):
            self._forget()

    cdef int _forget(self) except -1:
        self.optimizer = None
        self.slots = []
        self.average = None
        self.clip_norm = 0.0
        self.rule.steps = 0
        self.rule.beta1_power = self.rule.beta2_power = 1.0
        return 0

    def optimizer_state(self):
        """The optimizer with its state, for saving.

        Returns
        -------
        dict
            ``optimizer``: the settings object or None; ``steps``: how many were done; ``beta_powers``: the running
            products of beta1 and beta2; ``slots``: copies of the moments, and last of the average under an optimizer
            with `ema`, laid out like params.

        Examples
        --------
        >>> import fastmlp
        >>> net = fastmlp.MLP([2, 4, 1], loss="squared_error")
        >>> loss = net.train_step([[1, 2]], [3], fastmlp.Adam())
        >>> net.optimizer_state()["steps"]
        1
        """
        return {
            "optimizer": self.optimizer,
            "steps": self.rule.steps,
            "beta_powers": (self.rule.beta1_power, self.rule.beta2_power),
            "slots": [slot.copy() for slot in (*self.slots, self.average) if slot is not None],
        }

    def set_optimizer_state(self, state):
        """Take on what optimizer_state gave, for a network of the same layers.

        Parameters
        ----------
        state : dict

        Raises
        ------
        TypeError, ValueError
            If the moments are of another size, dtype or number, or the optimizer is none; nothing has changed.

        Examples
        --------
        >>> import fastmlp
        >>> net = fastmlp.MLP([2, 4, 1], loss="squared_error")
        >>> loss = net.train_step([[1, 2]], [3], fastmlp.Adam())
        >>> other = fastmlp.MLP([2, 4, 1], loss="squared_error")
        >>> other.set_optimizer_state(net.optimizer_state())
        """
        with self._turn():
            self._adopt(state)

    def _adopt(self, state):
        """set_optimizer_state, for whoever holds the network busy."""
        cdef int64_t steps = 0
        cdef double beta1_power = 1, beta2_power = 1
        for name in ("optimizer", "slots", "steps", "beta_powers"):
            if name not in state and (name in ("optimizer", "slots") or state["optimizer"] is not None):
                raise ValueError(f"state has no {name!r}; it must be what optimizer_state gave")
        shape, optimizer, wanted, slots = (self.flat_params.size,), state["optimizer"], 0, []
        for given in state["slots"]:
            if np.shape(given) != shape:
                raise ValueError(f"a slot has shape {np.shape(given)}; it must be {shape}, like params")
            if np.asarray(given).dtype != self.dtype:
                raise ValueError(f"a slot has dtype {np.asarray(given).dtype}; it must be {self.dtype}, like params")
            slots.append(_buffer(shape[0], self.dtype))
            slots[-1][:] = given
        if optimizer is not None:
            engine_settings(optimizer, self.dtype)
            wanted = optimizer.slots + (optimizer.ema is not None)
            steps = _names.check_whole("steps", state["steps"], 0, 2**63 - 1)
            beta1_power, beta2_power = state["beta_powers"]
            if not (0 <= beta1_power <= 1 and 0 <= beta2_power <= 1):
                raise ValueError(f"beta_powers is {state['beta_powers']!r}; it must be two numbers from 0 to 1")
        if len(slots) != wanted:
            raise ValueError(f"there are {len(slots)} slots; {optimizer!r} must have {wanted}")
        if optimizer is None:
            self._forget()
            return
        self._take_on(optimizer)  # the last that can fail: until here nothing has changed
        if optimizer.ema is not None:
            self.average = slots.pop()
        self.slots, self.rule.steps = slots, steps
        self.rule.beta1_power, self.rule.beta2_power = beta1_power, beta2_power
