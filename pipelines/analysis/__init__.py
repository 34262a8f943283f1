"""A store looked at: SQL, exports, statistics, clusters, outliers, maps, a dataset card. Nothing here writes to it.

All of it reads in batches. What is kept for every clip is a direction or a few figures, so that a million clips of
512 floats fit into 8 GiB.
"""
