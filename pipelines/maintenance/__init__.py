"""Jobs that keep a store in order: check, embed again, delete, merge."""
