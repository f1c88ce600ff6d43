"""Whether the decisions paid: treated customers against the holdout, and actions against doing nothing."""
