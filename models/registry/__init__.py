"""The registry of model versions; only this package uses MLflow."""
