"""A recording joined of several files: finds where its times begin anew, and puts its parts on one clock.

Recordings are joined by writing one file behind the other, or by an encoder that starts again. ffmpeg mends the times
of some containers (MPEG-TS, MPEG-PS); of others it ends at the join, or reads on and throws the later audio away.
Here all packets are read, without decoding them. Where that shows a join, the parts are written one after the other
into one Matroska file, each with one offset for all of its streams, so that audio and frames stay together.

    a recording -> parts (starts, flv) -> its packets -> clocks -> a timeline -> writer -> a file

Like `headers`, this folder runs apart from the worker and under limits (`python -P joined`), and imports PyAV and
nothing of the project but its own files, by relative imports: those of the project would load all of extraction.
"""
