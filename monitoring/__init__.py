"""Whether the customers a model answers for still look like those it was trained on."""
