"""`glissade bench`: how fast every rule is, against torch and against the machine's own memory."""
