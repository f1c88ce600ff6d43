"""Records by request: which of them were answered before, and the prediction of an id."""
