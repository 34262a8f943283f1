"""Methods of face-voice association behind one interface: the default, the paper's recipe, and published rivals.

Each is trained on the same pairs, with the same loop and the same people held out, and gives two embeddings whose
cosine says how well a voice suits a face.
"""

from vclip.association.methods.registry import ASSOCIATION_METHODS, METHODS, Method, load, method_of

__all__ = ["ASSOCIATION_METHODS", "METHODS", "Method", "load", "method_of"]
