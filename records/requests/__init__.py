"""Records of requests: which of them were answered before."""
