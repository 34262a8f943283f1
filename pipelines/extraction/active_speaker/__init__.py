"""Active speaker detection: which visible face, if any, is the one speaking."""
