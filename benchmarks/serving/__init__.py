"""The benchmark of scores over HTTP."""
