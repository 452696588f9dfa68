"""A surface of one's own, and all that it may say of itself (docs/pictures.md):

glissade draw --surface examples/own_surface.py:valley -o "sgd, adam @ cosine(100), lion"
"""

import torch


def valley(x, y):
    """Its height at two tensors of one shape: a valley that bends like a cosine."""
    return x**2 / 10 + 5 * (y - torch.cos(x)) ** 2


valley.title = "A valley that bends"
valley.formula = "x²/10 + 5 (y − cos x)²"
valley.box = (-4, 2, -2, 2)  # what is shown: x from, to, y from, to
valley.start = (-2.5, 1.5)
valley.steps = 100
valley.minima = [(0, 1)]
valley.bounded = True
