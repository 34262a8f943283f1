"""A store looked at: SQL, exports, statistics, clusters, outliers, maps, a dataset card. Nothing here writes to it.

All of it reads in batches and keeps for every clip a direction or a few figures; not measured on a million clips.
"""
