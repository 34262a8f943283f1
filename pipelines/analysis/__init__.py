"""Analyses of a store: SQL, statistics, dataset card, clusters, outliers, maps and exports. None writes to the store.

They read in batches, and keep one mean vector or a few numbers per clip. Not measured on a million clips.
"""
