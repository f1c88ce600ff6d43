"""The route of results: whether the decisions paid."""
