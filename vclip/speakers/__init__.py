"""New speakers for a TTS, and the choice of those that suit a face.

bank           known speakers, one vector each; the similarity of a vector to the nearest one
generator      new speakers, drawn from a Gaussian mixture over the principal components of known ones
signature      predicts the voice that a TTS makes of a speaker vector
voice          a voice that is kept in a file and used again
voice_search   voices for a face: naive, informed or guided
guided_search  gradient ascent of the informed score inside the generator's mixture
baselines      the systems and references that an evaluation compares
metrics        measures generated voices: v2v, f2v, likelihood, diversity, quality
"""
