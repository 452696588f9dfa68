"""Pictures of what optimizers do; the command is `glissade draw`."""
