"""Training of the customer models: data, fits, backtests, comparison and publication."""
