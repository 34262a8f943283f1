"""Search: faces and voices that are like a face or a voice, and voices that suit a face, or faces a voice.

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
