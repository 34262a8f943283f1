"""Listening tests: what people say of generated speech, where models only guess.

folders of speech, pairs of a store -> stimuli      a face and a sound each
stimuli -> test.html and key.json                   what listeners get, and what they must not see
answers and key.json -> mean opinion scores         with intervals over listeners and faces
"""
