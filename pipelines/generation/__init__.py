"""From a face to speech in a voice that suits it.

fit_speakers   known speakers -> a generator of new ones
distill        speaker vectors and a TTS -> the signature of the TTS
generate       one photo, or a few -> speech
batch          a manifest of faces and texts (manifest, batch_rows) -> speech, on Ray
evaluate       people of a store -> figures of all systems

`generate`, the batch and the page of `vclip browse` share these steps:

faces, find_faces   photos, prompts or faces of a store -> targets with face vectors
choice              targets -> voices: the best of many drawn speakers, none of them a known speaker
utterances          target, voice and text -> an utterance and its provenance
synthesize          utterances -> speech files
session             the models and the TTS that all of this uses, and the rows of a store
"""
