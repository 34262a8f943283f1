"""New speakers for a TTS, and which of them suit a face.

bank           known speakers, one vector each; how near a vector is to one of them
generator      new speakers: a Gaussian mixture over the principal components of known ones
signature      predicts the voice that a TTS makes of a speaker vector
voice_search   voices for a face: naive, informed or guided
guided_search  climbs the informed score inside the generator's mixture
baselines      the systems and references that an evaluation compares
metrics        measures generated voices: v2v, f2v, likelihood, diversity, quality
"""
