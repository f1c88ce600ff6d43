"""The ranking of products, learnt and tested by time."""
