"""Every optimizer's rule: one small file each, one function each that binds its values."""

from .adafactor import adafactor
from .adagrad import adagrad
from .adam import adam, adamw
from .lamb import lamb
from .lion import lion
from .radam import radam
from .ranger import ralamb, ranger, rangerlars
from .rmsprop import rmsprop
from .sgd import sgd, sgdw

__all__ = [
    "adafactor", "adagrad", "adam", "adamw", "lamb", "lion", "radam", "ralamb", "ranger",
    "rangerlars", "rmsprop", "sgd", "sgdw",
]  # fmt: skip
