"""Voice activity, speaker change, overlapped speech, and the speech segments of clips."""
