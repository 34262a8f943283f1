"""What a job reads, from what the user gave to what is still to be done.

folders, manifests, labels -> listing    what was given, as `Source`s
ledger, content_hashes -> known                of these, what the store does not have yet
addresses, buckets, web -> remote        files that are elsewhere
remote -> local_copy                     a local path for any file, while it is worked on
"""
