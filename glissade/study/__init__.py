"""Comparisons of optimizers on real tasks: `glissade compare`."""
