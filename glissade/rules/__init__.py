"""Every optimizer's rule: one small file each, one function each that binds its values."""

from .adabelief import adabelief
from .adabound import adabound, amsbound
from .adadelta import adadelta
from .adafactor import adafactor
from .adagrad import adagrad
from .adagradfull import adagradfull
from .adam import adam, adamw
from .adamax import adamax
from .adamod import adamod
from .adopt import adopt
from .amsgrad import amsgrad
from .diffgrad import diffgrad
from .factoredadam import factoredadam
from .lamb import lamb
from .lars import lars
from .lion import lion
from .nadam import nadam
from .radam import radam
from .ranger import ralamb, ranger, rangerlars
from .rmsprop import rmsprop
from .sgd import sgd, sgdw
from .signum import signum
from .sophia import sophia
from .yogi import yogi

__all__ = [
    "adabelief", "adabound", "adadelta", "adafactor", "adagrad", "adagradfull", "adam", "adamax",
    "adamod", "adamw", "adopt", "amsbound", "amsgrad", "diffgrad", "factoredadam", "lamb", "lars",
    "lion", "nadam", "radam", "ralamb", "ranger", "rangerlars", "rmsprop", "sgd", "sgdw", "signum",
    "sophia", "yogi",
]  # fmt: skip
