"""Independent oracles: what each optimizer must compute, written without the package.

`transcriptions` (rules in `algorithms` and `more_algorithms`, wrappers in `wrappers`) follows
shared/definitions.md in NumPy float64;
`installed` puts torch.optim, Optax and pytorch_optimizer behind the same interface. Nothing here
imports glissade.
"""
