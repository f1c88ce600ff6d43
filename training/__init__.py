"""Answers offline: datasets, training, evaluation."""
