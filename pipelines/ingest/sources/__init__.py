"""The sources of a job, from the user's inputs to the videos that are still to be done.

    folders, manifests, labels -> listing      the inputs as `Source`s
    content_hash, ledger_index -> resume       the sources that the store does not have yet

Remote files and local copies of them are in `pipelines.files`.
"""
