"""Where parameters, gradients and states lie now, asked of thousands of tensors in a millisecond.

A small model's kernel is shorter than asking each of its tensors from Python, and between two steps
anybody may put other gradients, or other memory, in place. So two functions, compiled once a
process, walk a kernel's own table and ask torch's libraries, through their C interface where that
has the answer. Nothing inside those libraries is a promise: `native` tries the functions on tensors
of every kind first, and where a symbol is missing or an answer is wrong there are none, and a step
asks from Python.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from .. import layout as at
from .code import Code
from .compile import link
from .mode import flushing
from .types import I8, I32, I64, PTR

# What tells of a tensor: by torch's C interface (it stores the answer, and returns not 0 if it
# fails), or by a function of C++. A tensor is given by the address of its at::Tensor.
ASK = "aoti_torch_"
GRAD = "_ZNK3c1010TensorImpl4gradEv"  # at::Tensor const& c10::TensorImpl::grad() const
IS_NEG = "_ZN2at6native6is_negERKNS_6TensorE"  # bool at::native::is_neg(at::Tensor const&)
BUMP = "_ZN5torch8autograd4impl12bump_versionERKN2at6TensorE"  # counts a write in place


def form(x: Tensor) -> list[int]:
    """How a tensor lies, for `look`: number of dimensions, sizes, strides."""
    return [x.ndim, *x.shape, *x.stride()]


class _Walk(Code):
    """One function being written, of (context): the table's rows one after the other."""

    def __init__(self, module: ir.Module, name: str) -> None:
        super().__init__(module, name, [PTR], I64)
        self.no = self.fn.append_basic_block("no")
        ir.IRBuilder(self.no).ret(I64(0))
        self.answer = self.b.alloca(I64)
        context = self.fn.args[0]
        self.width = self.word(context, at.ROW_WORDS)
        self.states = self.word(context, at.ROW_STATES)
        self.dtype = self.word(context, at.ROW_DTYPE)
        self.device = self.word(context, at.ROW_DEVICE)
        self.index = self.word(context, at.ROW_INDEX)
        table, count = self.word(context, at.TENSORS, PTR), self.word(context, at.ROW_COUNT)
        self.each(count, lambda i: self.row(self.slot(table, self.b.mul(i, self.width))))
        self.b.ret(I64(1))

    def row(self, row: ir.Value) -> None:
        """What there is to do for one tensor."""
        raise NotImplementedError

    def each(self, n: ir.Value, body: Callable[[ir.Value], None]) -> None:
        """for (i = 0; i < n; i++) body(i)"""
        self.loop(I64(0), n, 1, body)

    def ask(self, what: str, tensor: ir.Value, typ: ir.Type) -> ir.Value:
        """What torch says of a tensor; whoever gets no answer gets 0."""
        self.b.store(I64(0), self.answer)
        self.call(ASK + what, I32, tensor, self.answer)
        return self.b.load(self.answer, typ=typ)

    def need(self, x: ir.Value, y: ir.Value) -> None:
        """Go on if x and y are the same; else the answer is no."""
        go_on = self.fn.append_basic_block()
        self.b.cbranch(self.b.icmp_signed("==", x, y), go_on, self.no)
        self.b.position_at_end(go_on)


class _Look(_Walk):
    """Whether parameters and gradients are plain memory of the dtype and form that the table was
    made for, and states where they were; notes in the table where the former are."""

    def row(self, row: ir.Value) -> None:
        b = self.b
        param = self.word(row, at.HANDLE, PTR)
        self.plain(row, param, at.PARAM)
        self.plain(row, self.call(GRAD, PTR, b.load(param, typ=PTR)), at.GRAD)
        handles = self.slot(row, b.sub(self.width, self.states))
        addresses = self.slot(row, b.sub(self.width, b.mul(I64(2), self.states)))

        def state(k: ir.Value) -> None:
            is_at = self.ask("get_data_ptr", self.word(handles, k, PTR), I64)
            self.need(is_at, self.word(addresses, k))

        self.each(self.states, state)

    def plain(self, row: ir.Value, tensor: ir.Value, column: int) -> None:
        b = self.b
        self.need(self.ask("is_defined", tensor, I8), I8(1))  # first: of nothing, nothing is known
        self.need(self.ask("get_layout", tensor, I32), I32(0))  # not sparse
        self.need(b.sext(self.ask("get_device_type", tensor, I32), I64), self.device)
        self.need(b.sext(self.ask("get_device_index", tensor, I32), I64), self.index)
        self.need(b.sext(self.ask("get_dtype", tensor, I32), I64), self.dtype)
        self.need(b.zext(self.call(IS_NEG, I8, tensor), I64), I64(0))
        form = self.word(row, at.FORM, PTR)
        dims = self.word(form, 0)
        self.need(self.ask("get_dim", tensor, I64), dims)
        sizes, strides = (self.ask(f"get_{x}", tensor, PTR) for x in ("sizes", "strides"))

        def dimension(k: ir.Value) -> None:
            size = self.word(sizes, k)
            at_size = b.add(k, I64(1))
            self.need(size, self.word(form, at_size))
            # The stride of a size of 1 can be anything.
            stride = self.word(form, b.add(at_size, dims))
            alone = b.icmp_signed("==", size, I64(1))
            self.need(b.select(alone, stride, self.word(strides, k)), stride)

        self.each(dims, dimension)
        address = self.ask("get_data_ptr", tensor, I64)
        self.need(b.zext(b.icmp_signed("==", address, I64(0)), I64), I64(0))
        b.store(address, self.slot(row, column))


class _Count(_Walk):
    """Each parameter has taken one step more, and a graph of autograd that saved it must notice:
    kernels write behind autograd's back."""

    def row(self, row: ir.Value) -> None:
        self.call(BUMP, ir.VoidType(), self.word(row, at.HANDLE, PTR))
        step = self.word(row, at.STEP, PTR)
        self.b.store(self.b.add(self.b.load(step, typ=I64), I64(1)), step)


class _Step(Code):
    """All of a step that is so short that Python's lock may be held: look, every stage, count."""

    def __init__(self, module: ir.Module) -> None:
        super().__init__(module, "step", [PTR], I64)
        context, b = self.fn.args[0], self.b
        with b.if_then(b.icmp_signed("==", self.call("look", I64, context), I64(0))):
            b.ret(I64(0))
        stages, count = self.word(context, at.STAGES, PTR), self.word(context, at.STAGE_COUNT)
        with flushing(self):
            self.loop(
                I64(0), count, 1, lambda k: self.call_at(self.word(stages, k, PTR), context, I64(0))
            )
        b.ret(self.call("count", I64, context))


@dataclass(frozen=True)
class Native:
    """The compiled functions, each of the address of a table's context."""

    look: Callable[[int], int]  # not 0: all is as the kernel needs it
    count: Callable[[int], int]
    step: Callable[[int], int]  # not 0: done
    inside: int  # bytes from the address of a Python tensor to the at::Tensor in it
    engine: Any  # owns the code

    def handle(self, x: Tensor) -> int:
        """Where the at::Tensor of a Python tensor is, for as long as that lives."""
        return id(x) + self.inside


DEVICES = {"cpu": 0, "cuda": 1}  # types of devices, as torch's C interface numbers them
DTYPES: dict[torch.dtype, int] = {}  # torch's own numbers, as its C interface has them


def _resolve(names: Sequence[str]) -> None:
    """Tell the compiler where torch's functions are; AttributeError or OSError if one is not."""
    here = os.path.join(os.path.dirname(torch.__file__), "lib")
    end = ".dylib" if sys.platform == "darwin" else ".so"
    libraries = [ctypes.CDLL(os.path.join(here, f"lib{x}{end}")) for x in ("torch_cpu", "c10")]

    def find(name: str) -> Any:
        return getattr(libraries[not hasattr(libraries[0], name)], name)

    for name in names:
        llvm.add_symbol(name, ctypes.cast(find(name), ctypes.c_void_p).value)
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        DTYPES[getattr(torch, dtype)] = int(find(f"{ASK}dtype_{dtype}")())


def _inside() -> int:
    """How far inside a Python tensor its at::Tensor is: one pointer, which `_cdata` tells."""
    x = torch.empty(3, device="cpu")
    size = torch._C.TensorBase.__basicsize__
    (place,) = np.flatnonzero(np.frombuffer(ctypes.string_at(id(x), size), np.int64) == x._cdata)
    return 8 * int(place)


def _compiled() -> Native:
    module = ir.Module(name="look")
    _Look(module, "look")
    _Count(module, "count")
    _Step(module)
    _resolve([f.name for f in module.functions if f.is_declaration and f.name[:5] != "llvm."])
    engine = link(str(module))
    # PYFUNCTYPE keeps Python's lock: nobody exchanges a gradient meanwhile.
    prototype = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
    look, count, step = (
        prototype(engine.get_function_address(name)) for name in ("look", "count", "step")
    )
    return Native(look, count, step, _inside(), engine)


def _row(native: Native, p: Tensor, state: Tensor, like: Tensor) -> tuple[Any, ...]:
    """A table of one row, for a trial."""
    step, shape = np.zeros(1, np.int64), np.array(form(like), np.int64)
    row = np.zeros(at.FIRST_KEPT + 2, np.int64)
    row[[at.HANDLE, at.FORM, at.STEP]] = native.handle(p), shape.ctypes.data, step.ctypes.data
    row[-2:] = state.data_ptr(), native.handle(state)
    context = np.zeros(at.CONTEXT_WORDS, np.int64)
    context[[at.TENSORS, at.ROW_WORDS]] = row.ctypes.data, len(row)
    context[[at.ROW_COUNT, at.ROW_STATES, at.ROW_DTYPE]] = 1, 1, DTYPES[like.dtype]
    context[at.ROW_INDEX] = -1
    return context, row, step, shape


def _works(native: Native) -> bool:
    """Whether the answers are right for gradients of every kind that may turn up."""
    ones, zeros = (partial(f, dtype=torch.float32) for f in (torch.ones, torch.zeros))
    like = zeros(2, 3, 1)
    state = zeros(2, 3, 1)

    def answer(grad: Tensor | None, data: Tensor = like, moved: bool = False) -> bool:
        p = torch.nn.Parameter(data.clone(memory_format=torch.preserve_format))
        try:
            p.grad = grad
        except RuntimeError:  # so it cannot come to be of another shape or dtype, but so it can
            p.grad = torch.zeros_like(p)
            p.grad.data = grad  # type: ignore[assignment]
        context, row, step, _shape = _row(native, p, state, like)
        row[-2] += 8 * moved
        said = bool(native.look(context.ctypes.data))
        version = p._version
        native.count(context.ctypes.data)
        if step[0] != 1 or p._version != version + 1:
            return not said
        if said and (row[at.PARAM], row[at.GRAD]) != (p.data_ptr(), p.grad.data_ptr()):  # type: ignore[union-attr]
            return False
        return said

    good = [ones(2, 3, 1), ones(8)[2:].view(2, 3, 1), ones(2, 3, 2)[:, :, :1]]
    good[2] = good[2].contiguous().as_strided((2, 3, 1), (3, 1, 77))
    bad = [
        None, ones(2, 3), ones(3, 2, 1), ones(3, 2, 1).transpose(0, 1),
        ones(2, 3, 1).double(), ones(2, 3, 1).to_sparse(),
        torch._neg_view(ones(2, 3, 1)),
    ]  # fmt: skip
    return (
        all(map(answer, good))
        and not any(map(answer, bad))
        and not answer(good[0], moved=True)
        and not answer(good[0], ones(3, 2, 1).transpose(0, 1))
        and not answer(good[0], ones(2, 3, 1).double())
    )


@functools.cache
def native() -> Native | None:
    """The functions, or None where torch's libraries do not have what they need."""
    try:
        made = _compiled()
    except (AttributeError, OSError, ValueError):
        return None
    # Whatever the first step of a process happens to run under.
    with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu"):
        return made if _works(made) else None
