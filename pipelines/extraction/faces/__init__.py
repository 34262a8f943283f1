"""Shots, faces tracked from frame to frame, and the crops of the best frames."""
