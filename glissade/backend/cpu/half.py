"""Numbers of 16 bits, to and from float32: by integer arithmetic that every processor has.

What LLVM makes of its own conversions depends on the processor: where that has no instruction for
one, a call of a function that no library of the process has, which ends the process. bfloat16 never
uses them, so its bits are the same everywhere; float16 does where the processor converts it itself.

Nothing here passes through a denormal float32, which kernels read as 0: see `mode`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from .types import F16, F32, I16, I32

if TYPE_CHECKING:
    from .vector import Vectors

SIGN, SIZE, INFINITE = 0x80000000, 0x7FFFFFFF, 0x7F800000
ROUND_16, LOWEST_13 = 0x7FFF, 0xFFF  # one less than half of what is dropped
REBIAS = (127 - 15) << 23  # from float16's exponents to float32's
NORMAL = 113 << 23  # the bits of 2⁻¹⁴, float16's smallest normal number
HALF = 126 << 23  # those of a half: added, the lowest bits are multiples of 2⁻²⁴


class Halves:
    """Conversions for vectors of one width; `native` where float16 has instructions."""

    def __init__(self, v: Vectors, native: bool) -> None:
        self.v, self.native = v, native

    def _number(self, x: int) -> ir.Constant:
        return self.v.constant(x, I32)

    def _bits(self, b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        return b.bitcast(x, self.v.of(I32))

    def _float(self, b: ir.IRBuilder, bits: ir.Value) -> ir.Value:
        return b.bitcast(bits, self.v.of(F32))

    def wide(self, b: ir.IRBuilder, bits: ir.Value, bfloat: bool) -> ir.Value:
        """Return the float32 numbers that 16 bits each stand for."""
        if bfloat:
            return self._float(b, b.shl(b.zext(bits, self.v.of(I32)), self._number(16)))
        if self.native:
            return b.fpext(b.bitcast(bits, self.v.of(F16)), self.v.of(F32))
        wide = b.zext(bits, self.v.of(I32))
        sign = b.shl(b.and_(wide, self._number(0x8000)), self._number(16))
        size = b.shl(b.and_(wide, self._number(0x7FFF)), self._number(13))
        normal = b.add(size, self._number(REBIAS))
        # A denormal float16 is a multiple of 2⁻²⁴: what stands over 2⁻¹⁴ in the bits of that.
        over = self._float(b, b.add(size, self._number(NORMAL)))
        small = b.fsub(over, self._float(b, self._number(NORMAL)))
        found = b.select(
            b.icmp_unsigned("<", size, self._number(1 << 23)), self._bits(b, small), normal
        )
        last = b.icmp_unsigned(">=", size, self._number(0x1F << 23))  # infinite or NaN
        found = b.select(last, b.add(normal, self._number(REBIAS)), found)
        return self._float(b, b.or_(found, sign))

    def narrow(self, b: ir.IRBuilder, x: ir.Value, bfloat: bool) -> ir.Value:
        """Return 16 bits for each float32 number: the nearest, the even one of two as near."""
        if bfloat:
            return b.trunc(b.lshr(self._rounded(b, x), self._number(16)), self.v.of(I16))
        if self.native:
            return b.bitcast(b.fptrunc(x, self.v.of(F16)), self.v.of(I16))
        bits = self._bits(b, x)
        size = b.and_(bits, self._number(SIZE))
        odd = b.and_(b.lshr(size, self._number(13)), self._number(1))
        normal = b.add(b.add(size, self._number(LOWEST_13 - REBIAS)), odd)
        normal = b.lshr(normal, self._number(13))
        half = self._float(b, self._number(HALF))
        small = b.sub(self._bits(b, b.fadd(self._float(b, size), half)), self._number(HALF))
        found = b.select(b.icmp_unsigned("<", size, self._number(NORMAL)), small, normal)
        large = b.icmp_unsigned(">=", size, self._number((127 + 16) << 23))
        nan = b.icmp_unsigned(">", size, self._number(INFINITE))
        top = b.select(nan, self._number(0x7E00), self._number(0x7C00))
        found = b.select(large, top, found)
        sign = b.lshr(b.and_(bits, self._number(SIGN)), self._number(16))
        return b.trunc(b.or_(found, sign), self.v.of(I16))

    def nearest(self, b: ir.IRBuilder, x: ir.Value, bfloat: bool) -> ir.Value:
        """Return float32 numbers as they come back from 16 bits."""
        if bfloat:
            return self._float(b, b.and_(self._rounded(b, x), self._number(0xFFFF0000)))
        return self.wide(b, self.narrow(b, x, bfloat), bfloat)

    def _rounded(self, b: ir.IRBuilder, x: ir.Value) -> ir.Value:
        """The bits of x with the nearest bfloat16 in their upper half; a NaN keeps a bit there."""
        bits = self._bits(b, x)
        odd = b.and_(b.lshr(bits, self._number(16)), self._number(1))
        rounded = b.add(b.add(bits, self._number(ROUND_16)), odd)
        nan = b.or_(bits, self._number(1 << 22))
        return b.select(b.fcmp_unordered("uno", x, x), nan, rounded)
