"""Grouping clips into people: pair scores, average-linkage clustering, pseudo-identities."""
