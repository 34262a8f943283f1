"""Files, here or behind an address: reading, downloading, writing whole."""
