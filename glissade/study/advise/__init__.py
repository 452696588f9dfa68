"""What to try on a task, and why: `glissade advise`."""
