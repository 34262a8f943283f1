"""A file becomes frames and audio on one clock, whatever it is, within limits."""
