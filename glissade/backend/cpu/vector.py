"""Arithmetic on LLVM vectors (or single doubles): one operation of a rule, one instruction or two.

Only `contract` is granted (a multiply and an add may fuse). Never `nnan` or `ninf`: a NaN in a
gradient must come out as NaN.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from ...blocks import LEAST, SHIFT, Code
from ...storage import FIRST, HIGH_SHIFT, LOW_SHIFT, SPREAD
from .half import Halves
from .types import F32, F64, I1, I8, I16, I32, PTR

FUSE = ("contract",)


class Format(NamedTuple):
    """How numbers of a dtype lie in memory, and what they are computed in."""

    memory: ir.Type
    scalar: ir.Type
    eps: float
    bfloat: bool = False  # which of the two numbers of 16 bits


FORMATS = {
    "float32": Format(F32, F32, 2.0**-23),
    "float64": Format(F64, F64, 2.0**-52),
    "float16": Format(I16, F32, 2.0**-10),
    "bfloat16": Format(I16, F32, 2.0**-7, bfloat=True),
    "int8": Format(I8, F32, 0.0),  # codes, which only `encoded` and `decoded` understand
    "uint8": Format(I8, F32, 0.0),
}
SIZES = {I8: 1, I16: 2, F32: 4, F64: 8}  # bytes


class _Exp(NamedTuple):
    """What eˣ needs to know of a floating-point type."""

    bits: int
    bias: int
    mantissa: int
    lowest: float
    highest: float
    ln2: float  # with zeros at the end, so that its product with n is exact
    ln2_rest: float
    terms: int


EXP = {
    "float": _Exp(32, 127, 23, -104.0, 89.0, 0.693359375, -2.12194440e-4, 7),
    "double": _Exp(
        64, 1023, 52, -746.0, 710.0, 6.93147180369123816490e-01, 1.90821492927058770002e-10, 13
    ),
}


def _mangled(t: ir.Type) -> str:
    """A type as it stands in the names of overloaded intrinsics: v16f32."""
    if isinstance(t, ir.VectorType):
        return f"v{t.count}{t.element.intrinsic_name}"
    return str(t.intrinsic_name)


class Vectors:
    """Emits operations on vectors of `width` elements of `scalar`; width 1 is a plain number."""

    def __init__(
        self, module: ir.Module, scalar: ir.Type, width: int, *, half: bool = False
    ) -> None:
        self.module = module
        self.scalar = scalar
        self.width = width
        self.halves = Halves(self, native=half)
        self.type = self.of(scalar)
        self.mask = self.of(I1)

    def of(self, scalar: ir.Type) -> ir.Type:
        """The vector of this width over a scalar type."""
        return ir.VectorType(scalar, self.width) if self.width > 1 else scalar

    def constant(self, value: Any, scalar: ir.Type | None = None) -> ir.Constant:
        """A constant in every lane."""
        scalar = scalar or (I1 if isinstance(value, bool) else self.scalar)
        if scalar in (F32, F64):
            value = float(value)
        one = ir.Constant(scalar, value)
        if self.width == 1:
            return one
        # Short for a vector of zeros, not of -0.0.
        zero = not value and math.copysign(1, value) > 0
        return ir.Constant(self.of(scalar), None if zero else [one] * self.width)

    def splat(self, b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        """x in every lane."""
        if self.width == 1:
            return x
        lane = b.insert_element(ir.Constant(self.of(x.type), ir.Undefined), x, I32(0))
        zeros = ir.Constant(ir.VectorType(I32, self.width), None)
        return b.shuffle_vector(lane, ir.Constant(self.of(x.type), ir.Undefined), zeros)

    def convert(self, b: ir.IRBuilder, x: ir.Value, to: ir.Type) -> ir.Value:
        """x between float and double, lane by lane."""
        have = x.type.element if isinstance(x.type, ir.VectorType) else x.type
        if have == to:
            return x
        wide = ir.VectorType(to, x.type.count) if isinstance(x.type, ir.VectorType) else to
        return b.fpext(x, wide) if to == F64 else b.fptrunc(x, wide)

    def declared(self, name: str, typ: ir.FunctionType) -> ir.Function:
        """An external function or intrinsic, declared once."""
        return self.module.globals.get(name) or ir.Function(self.module, typ, name)

    def call(self, b: ir.IRBuilder, name: str, *args: ir.Value) -> Any:
        """An LLVM intrinsic that is overloaded on its first argument's type."""
        kind = args[0].type
        fn = self.declared(
            f"llvm.{name}.{_mangled(kind)}", ir.FunctionType(kind, [a.type for a in args])
        )
        return b.call(fn, args)

    def total(self, b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        """The sum over the lanes of a vector of doubles, as a tree."""
        if self.width == 1:
            return x
        name = f"llvm.vector.reduce.fadd.{_mangled(x.type)}"
        fn = self.declared(name, ir.FunctionType(F64, [F64, x.type]))
        return b.call(fn, [ir.Constant(F64, -0.0), x], fastmath=("reassoc",))

    def load(self, b: ir.IRBuilder, p: ir.Value, scalar: ir.Type, mask: ir.Value | None) -> Any:
        """A vector from memory; lanes outside the mask are 0."""
        size = SIZES[scalar]
        if mask is None:
            return b.load(p, typ=self.of(scalar), align=size)
        vector = self.of(scalar)
        typ = ir.FunctionType(vector, [PTR, I32, self.mask, vector])
        fn = self.declared(f"llvm.masked.load.{_mangled(vector)}.p0", typ)
        return b.call(fn, [p, I32(size), mask, self.constant(0, scalar)])

    def store(self, b: ir.IRBuilder, x: ir.Value, p: ir.Value, mask: ir.Value | None) -> None:
        """A vector to memory; lanes outside the mask are left alone."""
        scalar = x.type.element if isinstance(x.type, ir.VectorType) else x.type
        size = SIZES[scalar]
        if mask is None:
            b.store(x, p, align=size)
        else:
            typ = ir.FunctionType(ir.VoidType(), [x.type, PTR, I32, self.mask])
            fn = self.declared(f"llvm.masked.store.{_mangled(x.type)}.p0", typ)
            b.call(fn, [x, p, I32(size), mask])

    def read(self, b: ir.IRBuilder, p: ir.Value, form: Format, mask: ir.Value | None) -> Any:
        """A vector from memory, as what it is computed in."""
        x = self.load(b, p, form.memory, mask)
        return x if form.memory == form.scalar else self.halves.wide(b, x, form.bfloat)

    def write(
        self, b: ir.IRBuilder, x: ir.Value, p: ir.Value, form: Format, mask: ir.Value | None
    ) -> None:
        """A vector to memory, rounded to the nearest, to even where two are as near."""
        if form.memory != form.scalar:
            x = self.halves.narrow(b, x, form.bfloat)
        self.store(b, x, p, mask)

    def nearest(self, b: ir.IRBuilder, x: ir.Value, form: Format) -> ir.Value:
        """x as it comes back from memory of a format."""
        return x if form.memory == form.scalar else self.halves.nearest(b, x, form.bfloat)

    def noise(self, b: ir.IRBuilder, first: ir.Value, key: ir.Value) -> ir.Value:
        """32 random bits in each lane, of its place, the first lane's being `first`, and a key."""
        number = functools.partial(self.constant, scalar=I32)
        x = b.add(self.splat(b, b.mul(first, I32(SPREAD))), key)
        if self.width > 1:
            lanes = [I32(k * SPREAD % 2**32) for k in range(self.width)]
            x = b.add(x, ir.Constant(x.type, lanes))
        x = b.mul(b.xor(x, b.lshr(x, number(LOW_SHIFT))), number(FIRST))
        return b.xor(x, b.lshr(x, number(HIGH_SHIFT)))

    def stochastic(self, b: ir.IRBuilder, x: ir.Value, noise: ir.Value, half: int) -> ir.Value:
        """Floats rounded up or down to their upper halves by 16 bits of noise: the lower ones of
        the sum are what is left, and go. A NaN must not be carried over into a number."""
        number = functools.partial(self.constant, scalar=I32)
        some = b.lshr(noise, number(16)) if half else b.and_(noise, number(0xFFFF))
        bits = b.bitcast(x, self.of(I32))
        upper = b.bitcast(b.and_(b.add(bits, some), number(0xFFFF0000)), self.of(F32))
        return b.select(b.fcmp_unordered("uno", x, x), x, upper)

    # Codes of 8 bits, as `glissade.blocks` has them, here in 32 bits a lane

    def size_bits(self, b: ir.IRBuilder, x: ir.Value, mask: ir.Value | None) -> ir.Value:
        """The bits of |x|, in order as integers, NaN the largest; 0 outside of the mask."""
        bits = b.and_(b.bitcast(x, self.of(I32)), self.constant(0x7FFFFFFF, I32))
        return bits if mask is None else b.select(mask, bits, self.constant(0, I32))

    def larger(self, b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
        """The larger of two unsigned integers, lane by lane."""
        return b.select(b.icmp_unsigned(">", x, y), x, y)

    def largest(self, b: ir.IRBuilder, bits: ir.Value) -> ir.Value:
        """The largest lane of unsigned integers, as the float whose bits these are."""
        if self.width > 1:
            name = f"llvm.vector.reduce.umax.{_mangled(bits.type)}"
            bits = b.call(self.declared(name, ir.FunctionType(I32, [bits.type])), [bits])
        return b.bitcast(bits, F32)

    def scaling(self, b: ir.IRBuilder, largest: ir.Value, code: Code) -> tuple[ir.Value, ir.Value]:
        """Of a block's largest size: its scale, and what sizes are multiplied by."""
        some = b.fcmp_unordered(">=", largest, F32(LEAST))
        inverse = b.select(some, b.fdiv(F32(code.top), largest), F32(0.0))
        one = ir.Constant(F32, np.float32(1 / np.float32(code.top)).item())
        return b.select(some, b.fmul(largest, one), F32(0.0)), inverse

    def encoded(
        self, b: ir.IRBuilder, x: ir.Value, scale: tuple[ir.Value, ir.Value], noise: ir.Value,
        half: int, code: Code,
    ) -> tuple[ir.Value, ir.Value]:  # fmt: skip
        """The codes of floats, rounded by noise, and the floats that these stand for; the scale is
        as `scaling` has it. No flags: a product fused with the sum would be another code."""
        number = functools.partial(self.constant, scalar=I32)
        size, (unit, inverse) = self.size_bits(b, x, None), scale
        a = b.fmul(b.bitcast(size, self.type), inverse)
        bits = b.bitcast(b.fadd(a, self.constant(code.offset)), self.of(I32))
        bits = b.and_(b.add(bits, self.some(b, noise, half)), number(-(1 << SHIFT) % 2**32))
        if not code.signed:  # what is not 0 does not become it
            least = b.select(
                b.icmp_unsigned("!=", size, number(0)),
                number(code.first + (1 << SHIFT)), number(code.first),
            )  # fmt: skip
            bits = self.larger(b, bits, least)
        y = b.fmul(b.fsub(b.bitcast(bits, self.type), self.constant(code.offset)), unit)
        codes = b.sub(b.lshr(bits, number(SHIFT)), number(code.first >> SHIFT))
        if not code.signed:
            return codes, y
        sign = b.ashr(b.bitcast(x, self.of(I32)), number(31))
        return b.sub(b.xor(codes, sign), sign), self.signed(b, y, sign)

    def some(self, b: ir.IRBuilder, noise: ir.Value, half: int) -> ir.Value:
        """As much noise as is dropped of a code: the upper bits or the lower ones."""
        if half:
            return b.lshr(noise, self.constant(32 - SHIFT, I32))
        return b.and_(noise, self.constant((1 << SHIFT) - 1, I32))

    def signed(self, b: ir.IRBuilder, x: ir.Value, like: ir.Value) -> ir.Value:
        """Floats with the signs of integers."""
        minus = b.and_(like, self.constant(0x80000000, I32))
        return b.bitcast(b.xor(b.bitcast(x, self.of(I32)), minus), self.type)

    def decoded(self, b: ir.IRBuilder, codes: ir.Value, scale: ir.Value, code: Code) -> ir.Value:
        """The floats that codes stand for."""
        number = functools.partial(self.constant, scalar=I32)
        size = codes
        if code.signed:
            name = f"llvm.abs.{_mangled(codes.type)}"
            typ = ir.FunctionType(codes.type, [codes.type, I1])
            size = b.call(self.declared(name, typ), [codes, I1(0)])
        bits = b.add(b.shl(size, number(SHIFT)), number(code.first))
        x = b.fmul(b.fsub(b.bitcast(bits, self.type), self.constant(code.offset)), scale)
        return self.signed(b, x, codes) if code.signed else x

    def exp(self, b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        """e to the power x, about one unit in the last place off: the library's takes an element
        at a time. With x = n·ln 2 + r it is 2ⁿ·eʳ, eʳ by its series."""
        how = EXP[str(self.scalar)]
        number, integer = self.constant, ir.IntType(how.bits)
        # Beyond these it is 0 or infinite; comparisons with NaN are false, so a NaN stays.
        x = b.select(b.fcmp_ordered(">", x, number(how.highest)), number(how.highest), x)
        x = b.select(b.fcmp_ordered("<", x, number(how.lowest)), number(how.lowest), x)
        n = self.call(b, "rint", b.fmul(x, number(1 / math.log(2))))
        r = b.fsub(x, b.fmul(n, number(how.ln2)), flags=FUSE)
        r = b.fsub(r, b.fmul(n, number(how.ln2_rest)), flags=FUSE)
        series = number(1 / math.factorial(how.terms))
        for k in reversed(range(how.terms)):
            term = number(1 / math.factorial(k))
            series = b.fadd(b.fmul(series, r, flags=FUSE), term, flags=FUSE)
        # 2ⁿ in two factors: either alone is a normal number. (An integer of NaN is anything.)
        n = b.select(b.fcmp_unordered("uno", n, n), number(0), n)
        whole = b.fptosi(n, self.of(integer))
        half = b.ashr(whole, self.constant(1, integer))
        for power in (half, b.sub(whole, half)):
            raised = b.add(power, self.constant(how.bias, integer))
            raised = b.shl(raised, self.constant(how.mantissa, integer))
            series = b.fmul(series, b.bitcast(raised, self.type))
        return series

    def op(self, b: ir.IRBuilder, op: str, x: list[ir.Value], *, fuse: bool = True) -> ir.Value:
        """The value of an operation of `glissade.graph.OPS`."""
        plain = {"add": b.fadd, "sub": b.fsub, "mul": b.fmul, "div": b.fdiv}
        if op in plain:
            return plain[op](*x, flags=FUSE if fuse else ())
        if op == "still":
            step, g = (self.op(b, "isfinite", [y]) for y in x[:2])
            stays = b.or_(step, b.not_(g))
            for y, z in itertools.zip_longest(x[2::2], x[3::2]):
                stays = b.or_(stays, b.fcmp_unordered("uno", y, y if z is None else z))
            return b.select(stays, x[0], self.constant(0))
        if op == "exp" and self.width > 1:
            return self.exp(b, x[0])
        if op in ("sqrt", "exp", "log", "pow"):
            return self.call(b, op, *x)
        if op == "neg":
            return b.fneg(x[0])
        if op == "abs":
            return self.call(b, "fabs", x[0])
        orders = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "=="}
        if op in orders:
            return b.fcmp_ordered(orders[op], *x)
        if op == "ne":
            return b.fcmp_unordered("!=", *x)
        if op == "isfinite":
            size = self.call(b, "fabs", x[0])
            return b.fcmp_ordered("<", size, self.constant(math.inf))
        if op in ("and", "or"):
            return b.and_(*x) if op == "and" else b.or_(*x)
        if op == "not":
            return b.not_(x[0])
        if op == "where":
            return b.select(*x)
        if op == "sign":
            # What is neither over nor under 0 is returned as it came: 0 or NaN.
            zero, one = self.constant(0), self.constant(1)
            under = b.select(b.fcmp_ordered("<", x[0], zero), self.constant(-1), x[0])
            return b.select(b.fcmp_ordered(">", x[0], zero), one, under)
        if op in ("maximum", "minimum"):
            # A comparison with NaN is false and takes y, so a NaN in y comes out; one in x is
            # seen to by the second select.
            y = b.select(b.fcmp_ordered(">" if op == "maximum" else "<", *x), *x)
            return b.select(b.fcmp_unordered("uno", x[0], x[0]), x[0], y)
        if op == "mod":
            floor = self.call(b, "floor", b.fdiv(*x))
            return b.fsub(x[0], b.fmul(floor, x[1]))
        raise NotImplementedError(op)  # pragma: no cover - a new operation without its code
