"""Plans: a decision for everybody at once, as a preview."""
