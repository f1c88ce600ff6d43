"""A simulated shop whose customers' true rates are known."""
