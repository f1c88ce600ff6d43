"""Training: datasets, backtests, fitting, evaluation and publication of models."""
