"""Estimators of scikit-learn or XGBoost, or of a user's own file, in place of Patron's."""
