"""Draws what extraction saw of one video, onto its pictures and along its time."""
