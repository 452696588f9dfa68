"""A function being written as LLVM IR: words of memory, loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from .types import I64


class _At:
    """An address as what llvmlite takes for a function: its pointers do not tell their types."""

    def __init__(self, address: ir.Value, function_type: ir.FunctionType) -> None:
        self.type = address.type
        self.function_type = function_type
        self.get_reference = address.get_reference


class Code:
    """What every function that is written here has in common."""

    def __init__(
        self, module: ir.Module, name: str, args: Sequence[ir.Type], returns: ir.Type | None = None
    ) -> None:
        self.module = module
        self.fn = ir.Function(module, ir.FunctionType(returns or ir.VoidType(), args), name)
        self.b = ir.IRBuilder(self.fn.append_basic_block("entry"))
        self.top = self.b.block

    def slot(self, base: ir.Value, index: int | ir.Value, typ: ir.Type = I64) -> ir.Value:
        """The address of the `index`-th word (or number of another type) from `base` on."""
        index = I64(index) if isinstance(index, int) else index
        return self.b.gep(base, [index], source_etype=typ)

    def word(self, base: ir.Value, index: int | ir.Value, typ: ir.Type = I64) -> ir.Value:
        """The `index`-th word from `base` on."""
        return self.b.load(self.slot(base, index, typ), typ=typ)

    def call(self, name: str, returns: ir.Type, *args: ir.Value) -> ir.Value:
        """A function from elsewhere, known by its name."""
        typ = ir.FunctionType(returns, [a.type for a in args])
        fn = self.module.globals.get(name) or ir.Function(self.module, typ, name)
        return self.b.call(fn, args)

    def call_at(self, address: ir.Value, *args: ir.Value) -> None:
        """A function that is known by its address."""
        self.b.call(_At(address, ir.FunctionType(ir.VoidType(), [a.type for a in args])), args)

    def loop(
        self,
        lo: ir.Value,
        hi: ir.Value,
        step: int | ir.Value,
        body: Callable[[ir.Value], None],
    ) -> None:
        """for (i = lo; i < hi; i += step) body(i)"""
        b = self.b
        start = b.block
        head, inside, done = (self.fn.append_basic_block(n) for n in ("head", "body", "done"))
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(I64)
        i.add_incoming(lo, start)
        b.cbranch(b.icmp_signed("<", i, hi), inside, done)
        b.position_at_end(inside)
        body(i)
        i.add_incoming(b.add(i, I64(step) if isinstance(step, int) else step), b.block)
        b.branch(head)
        b.position_at_end(done)
