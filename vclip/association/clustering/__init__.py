"""Clustering of clips by person.

pair_scores        how likely two clips are of one person, by face and voice
agglomerative      average-linkage clustering, exact and without the matrix of all pairs
pseudo_identities  identities for clips without one; clips that overlap in time; doubtful negatives
"""
