"""Where speech is heard, whether it is one voice, and the segments that are kept."""
