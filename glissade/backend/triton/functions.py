"""What kernels call: operations of rules that Triton has in other words, or not at all.

Each does to a NaN what `glissade.graph.OPS` does.
"""
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import triton
import triton.language as tl

from ...blocks import LEAST, SHIFT
from ...ops import LARGE, PART
from ...storage import FIRST, HIGH_SHIFT, LOW_SHIFT, SECOND, SPREAD
from ..select import interpreted

_SPREAD, _FIRST = tl.constexpr(SPREAD), tl.constexpr(FIRST)
_SECOND = tl.constexpr(SECOND)
_LOW, _HIGH = tl.constexpr(LOW_SHIFT), tl.constexpr(HIGH_SHIFT)
_SHIFT, _LEAST = tl.constexpr(SHIFT), tl.constexpr(LEAST)
_MOST, _PART_UP, _PART_DOWN = tl.constexpr(LARGE), tl.constexpr(PART), tl.constexpr(1 / PART)
_CODE, _WHOLE = tl.constexpr(1 << SHIFT), tl.constexpr(-1 << SHIFT)


@triton.jit
def larger(x, y):
    """maximum(x, y); NaN if either is."""
    found = tl.where(x > y, x, y)
    return tl.where(x != x, x, found)


@triton.jit
def smaller(x, y):
    """minimum(x, y); NaN if either is."""
    found = tl.where(x < y, x, y)
    return tl.where(x != x, x, found)


@triton.jit
def sign(x):
    """-1 or 1; what is neither over nor under 0 as it came."""
    return tl.where(x > 0, 1.0, tl.where(x < 0, -1.0, x)).to(x.dtype)


@triton.jit
def isfinite(x):
    """Neither infinite nor NaN."""
    return tl.abs(x) < float("inf")


@triton.jit
def still(x, stays):
    """x, and 0 where it is not finite, unless it is to stay."""
    return tl.where(isfinite(x) | stays, x, 0.0).to(x.dtype)


@triton.jit
def scaled(x, s):
    """x times a double that may not fit the type of x: see `glissade.language.scaled`."""
    s = s + tl.full((), 0.0, tl.float64)
    size = tl.abs(s)
    apart = ((size > 0) & (size < _LEAST)) | ((size >= _MOST) & (size < float("inf")))
    part = tl.where(size < 1, _PART_DOWN, _PART_UP).to(tl.float64)
    first = tl.where(apart, tl.where(s < 0, -part, part), s)
    second = tl.where(apart, s / first, 1.0)
    return x * first.to(x.dtype) * second.to(x.dtype)


@triton.jit
def power(x, y):
    """x ** y, in double."""
    base, exponent = x.to(tl.float64), y + tl.zeros_like(x).to(tl.float64)
    size = tl.exp(tl.log(tl.abs(base)) * exponent)
    size = tl.where(exponent == 0, 1.0, size)
    whole = tl.floor(exponent) == exponent
    odd = tl.floor(exponent * 0.5) * 2 != exponent
    found = tl.where(base < 0, tl.where(whole, tl.where(odd, -size, size), float("nan")), size)
    return found.to(x.dtype)


@triton.jit
def modulo(x, y):
    """x % y, with the sign of y, as Python's."""
    return x - tl.floor(x / y) * y


@triton.jit
def _mixed(x):
    x = x & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * _FIRST) & 0xFFFFFFFF
    x = ((x ^ (x >> 13)) * _SECOND) & 0xFFFFFFFF
    return x ^ (x >> 16)


@triton.jit
def key(number, t, seed):
    """What the noise of a step begins with: see `glissade.storage`."""
    return _mixed(_mixed(_mixed(seed.to(tl.int64)) * _SPREAD + t) * _SPREAD + number)


@triton.jit
def noise(place, key):
    """32 random bits of a place and a key: see `glissade.storage`."""
    x = place.to(tl.uint32) * tl.full((), _SPREAD, tl.uint32) + key
    x = (x ^ (x >> _LOW)) * tl.full((), _FIRST, tl.uint32)
    return x ^ (x >> _HIGH)


if interpreted():  # its own conversion is wrong where a carry reaches the exponent

    @triton.jit
    def to_bfloat16(x):
        """Floats rounded to the nearest, to even where two are as near."""
        bits = x.to(tl.float32).to(tl.uint32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        return tl.where(x != x, x, bits.to(tl.float32, bitcast=True)).to(tl.bfloat16)

else:

    @triton.jit
    def to_bfloat16(x):
        """Floats rounded to the nearest, to even where two are as near."""
        return x.to(tl.bfloat16)


@triton.jit
def stochastic(x, some):
    """Floats rounded up or down to bfloat16 by 16 bits of noise; still floats."""
    bits = (x.to(tl.uint32, bitcast=True) + (some & 0xFFFF)) & 0xFFFF0000
    return tl.where(x != x, x, bits.to(tl.float32, bitcast=True))


@triton.jit
def _size_bits(x):
    return x.to(tl.int32, bitcast=True) & 0x7FFFFFFF


@triton.jit
def scales(x, mask, TOP: tl.constexpr, BLOCKS: tl.constexpr, EACH: tl.constexpr):
    """Of each block of x its scale, and what sizes are multiplied by: arrays of BLOCKS."""
    bits = tl.reshape(tl.where(mask, _size_bits(x), 0), (BLOCKS, EACH))
    largest = tl.max(bits, axis=1).to(tl.float32, bitcast=True)
    nothing = largest < _LEAST
    unit = tl.where(nothing, 0.0, largest * (1.0 / TOP))
    return unit, tl.where(nothing, 0.0, TOP / largest)


@triton.jit
def over_blocks(x, like, BLOCKS: tl.constexpr, EACH: tl.constexpr):
    """A value for each block, for each element."""
    return tl.reshape(tl.broadcast_to(x[:, None], (BLOCKS, EACH)), like.shape)


@triton.jit
def encode(x, inverse, some, OFFSET: tl.constexpr, BEGIN: tl.constexpr, SIGNED: tl.constexpr):
    """The bits that hold the codes of sizes, rounded by 19 bits of noise."""
    size = _size_bits(x)
    a = size.to(tl.float32, bitcast=True) * inverse
    bits = (a + OFFSET).to(tl.int32, bitcast=True) + some.to(tl.int32)
    bits = bits & _WHOLE
    if not SIGNED:
        bits = tl.maximum(bits, tl.where(size != 0, BEGIN + _CODE, BEGIN))
    return bits


@triton.jit
def codes_of(bits, x, BEGIN: tl.constexpr, SIGNED: tl.constexpr):
    """Codes from bits; x has the signs."""
    codes = (bits - BEGIN) >> _SHIFT
    if SIGNED:
        found = tl.where(x.to(tl.int32, bitcast=True) < 0, -codes, codes).to(tl.int8)
    else:
        found = codes.to(tl.uint8)
    return found


@triton.jit
def values_of(bits, x, unit, OFFSET: tl.constexpr, SIGNED: tl.constexpr):
    """What bits stand for; x has the signs."""
    y = (bits.to(tl.float32, bitcast=True) - OFFSET) * unit
    if SIGNED:
        y = tl.where(x.to(tl.int32, bitcast=True) < 0, -y, y)
    return y


@triton.jit
def decode(codes, unit, OFFSET: tl.constexpr, BEGIN: tl.constexpr):
    """What codes stand for."""
    wide = codes.to(tl.int32)
    bits = (tl.abs(wide) << _SHIFT) + BEGIN
    y = (bits.to(tl.float32, bitcast=True) - OFFSET) * unit
    return tl.where(wide < 0, -y, y)
