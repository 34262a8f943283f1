"""Which visible face, if any, is the one heard."""
