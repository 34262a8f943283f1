"""Voices that are kept under a name and used again, in a folder or in the table `speakers` of a store.

collections   the voices of a folder, or of a store
find          the voice that a file, a sidecar or a name means
guard         no kept voice may be a known speaker's
keep          `vclip voices keep`
"""
