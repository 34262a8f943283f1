"""From a face to speech that suits it; shared by `vclip generate` on one photo and on a manifest.

photos, or faces of a store -> portraits -> `Face`s with vectors
`Face`s -> voices                           the best of many drawn speakers, none of them a known person's
face, voice and text -> utterances          what is said, by what, for whom
utterances -> synthesis                     a waveform and its provenance
"""
