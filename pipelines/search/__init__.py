"""Search: faces and voices that are similar to a face, a voice or a text, or that match it under a model.

    job.py          `vclip search`
    probes.py       files, ids, vectors and texts -> probes, which are vectors with a name
    searcher.py     probes -> an answer
    cross_modal.py  faces against voices, through an association model
    results.py      the answer: hits with their clips

Example:

searcher = Searcher.open("work/store", "work/model")
answer = searcher.find("voices", searcher.faces(["photo.jpg"]), k=10, where="gender = 'f'")
answer.by                          # memory | index | stream
for hit in answer.matches[0].hits:
    print(hit.voice_id, hit.cosine, hit.probability)
"""

from pipelines.search.probes import Probe
from pipelines.search.results import Answer, Hit, Match
from pipelines.search.searcher import Searcher

__all__ = ["Answer", "Hit", "Match", "Probe", "Searcher"]
