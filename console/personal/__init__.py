"""The customers that pages show: read in one place, and masked for roles that may not see them in full."""
