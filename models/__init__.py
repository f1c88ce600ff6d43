"""The models: questions about customers, estimators, measures and the registry."""
