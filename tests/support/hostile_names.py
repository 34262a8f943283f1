"""A name that is markup, and longer than a line."""

HOSTILE = '<script>alert("&\'")</script>' + "long" * 20
