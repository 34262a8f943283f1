"""Files on this machine, in buckets and on web servers: list, read, download, and write them whole."""
