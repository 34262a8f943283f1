"""Published trial lists.

lists          which voices to compare with which faces
features       vectors by name
plain_pickle   published pickles, read without running code in them
evaluation     the figures of a model on a list
"""
