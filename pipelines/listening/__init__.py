"""Listening tests: mean opinion scores of generated speech, by people instead of models.

speech files, pairs of a store -> stimuli       a face and audio each
stimuli -> test.html and key.json               the page for listeners, and the key that they must not see
answers and key.json -> mean opinion scores     with intervals over listeners and faces
"""
