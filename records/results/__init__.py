"""What measures decisions: the holdout, and the orders that followed."""
