"""Drift monitoring: compares the customers that a model scores with those it was trained on."""
