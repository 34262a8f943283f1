"""How generated speech says that it is synthetic, and how that is checked.

provenance   writes and reads the label: in the WAV file and in its JSON sidecar
verify       finds out whether a file, its label and its sidecar still belong together
"""
