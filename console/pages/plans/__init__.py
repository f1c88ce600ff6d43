"""Pages of plans: made, stored and released."""
