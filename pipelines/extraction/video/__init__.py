"""A file becomes pictures and sound on one clock, whatever it is, within limits."""
