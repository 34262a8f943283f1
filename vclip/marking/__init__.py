"""How generated speech says that it is synthetic, and how that is checked.

marks        the signature, the watermark and the announcement of one run, by its configuration
provenance   writes and reads the label: in the WAV file and in its JSON sidecar
signature    signed metadata (C2PA) around the file and its label
watermark    imperceptible marks in the samples; `perth` is one
verify       finds out whether a file and its marks still belong together
"""
