"""Records of plans: what was planned, and what was released."""
