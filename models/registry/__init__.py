"""The registry of model versions: the only door to MLflow."""
