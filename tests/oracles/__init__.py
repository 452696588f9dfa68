"""Independent oracles: what each optimizer must compute, written without the package.

`transcriptions` (its rules are in `algorithms`) follows shared/definitions.md in NumPy float64;
`installed` puts torch.optim, Optax and pytorch_optimizer behind the same interface. Nothing here
imports glissade.
"""
