"""Copies of a home's MLflow for backups: of the local files, and of the models on a server."""
