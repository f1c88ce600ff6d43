"""What learns from features: one file per family."""
