"""What a job reads, from what the user gave to what is still to be done.

`listing` makes `Source`s of folders and files; `known` asks the ledger which of them are done; `identify` reads the
others once, for the hash of their content.
"""
