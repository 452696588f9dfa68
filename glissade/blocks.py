"""Numbers in 8 bits: a block of 256 consecutive elements shares a scale, each keeps a code.

The code of x is cut out of a float32's own bits. Divided by the block's scale its size a is at most
1; to that a small offset c is added, and of c + a the sign, the lower bits and what c alone has are
dropped:

    code = (bits(c + |x| / scale) - bits(c)) >> 19

Far under c the codes are evenly spaced, so that 0 is 0 and what is small fades out; far over c they
are 16 between a number and its double. What is never negative (second moments) needs no sign and
has a c of 2⁻¹⁶, so that numbers a million times smaller than the largest of their block stay
alive; it is never rounded to 0, for somebody will divide by its root. What has a sign has a c of
2⁻⁸. Noise added before the shift rounds up or down at random, right in the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

BLOCK = 256  # elements that share a scale: consecutive in memory
SMALL = 4096  # tensors of fewer elements stay in full
SHIFT = 19  # of a float32's 23 bits after the point 4 are kept
LEAST = 2.0**-126  # a block of smaller numbers is 0: their reciprocals are infinite


@dataclass(frozen=True)
class Code:
    """What 8 bits stand for."""

    signed: bool

    @property
    def dtype(self) -> torch.dtype:
        """What codes are kept in; it tells which code it is."""
        return torch.int8 if self.signed else torch.uint8

    @property
    def offset(self) -> float:
        """c."""
        return 2.0**-8 if self.signed else 2.0**-16

    @property
    def last(self) -> int:
        """The largest code."""
        return 127 if self.signed else 255

    @cached_property
    def first(self) -> int:
        """The bits of c."""
        return int(np.float32(self.offset).view(np.int32))

    @cached_property
    def top(self) -> float:
        """The largest size in units of the scale: what the largest code stands for, less a little,
        so that with all noise, and wrongly rounded, it is no larger code."""
        bits = np.int32(self.first + (self.last << SHIFT) - 8)
        return float(bits.view(np.float32) - np.float32(self.offset))


CODES = {"int8": Code(signed=True), "uint8": Code(signed=False)}
OF = {code.dtype: code for code in CODES.values()}


SCALE = "_scale"


def scale_name(state: str) -> str:
    """What the state is called that holds the scales of another."""
    return state + SCALE


def count(elements: int) -> int:
    """The blocks of a tensor."""
    return -(-elements // BLOCK)


def encode(
    x: torch.Tensor, code: Code, noise: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes and scales (float32) of a float32 tensor of one dimension; `noise` are 19 bits for
    each element, and None rounds to the nearest."""
    n = x.numel()
    wide = torch.nn.functional.pad(x.detach(), (0, -n % BLOCK)).reshape(-1, BLOCK)
    bits = wide.view(torch.int32)
    size = (bits & 0x7FFFFFFF).view(torch.float32)
    largest = (bits & 0x7FFFFFFF).amax(dim=1, keepdim=True).view(torch.float32)
    top, nothing = largest.new_tensor(code.top), largest < LEAST
    inverse = torch.where(nothing, 0.0, top / largest)
    scale = torch.where(nothing, 0.0, largest * (1 / top))
    cut = (size * inverse + code.offset).view(torch.int32).to(torch.int64) - code.first
    some = torch.full_like(x, 1 << SHIFT - 1, dtype=torch.int64) if noise is None else noise
    cut = (cut + torch.nn.functional.pad(some, (0, -n % BLOCK)).reshape(-1, BLOCK)) >> SHIFT
    cut = cut.clamp(0, code.last)
    if code.signed:
        cut = torch.where(bits < 0, -cut, cut)
    else:
        cut = torch.maximum(cut, (size != 0).to(torch.int64))
    return cut.to(code.dtype).reshape(-1)[:n].clone(), scale.reshape(-1)


def decode(codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The float32 tensor that codes and scales stand for, as it lies in memory: of any shape."""
    n, code = codes.numel(), OF[codes.dtype]
    flat = codes.as_strided((n,), (1,))
    wide = torch.nn.functional.pad(flat, (0, -n % BLOCK)).reshape(-1, BLOCK).to(torch.int32)
    x = ((wide.abs() << SHIFT) + code.first).view(torch.float32) - code.offset
    x = x * scale[:, None]
    out = torch.empty_like(codes, dtype=torch.float32)
    out.as_strided((n,), (1,)).copy_(torch.where(wide < 0, -x, x).reshape(-1)[:n])
    return out
