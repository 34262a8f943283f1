"""Shots, the faces in them, followed from picture to picture, and the crops of the best."""
