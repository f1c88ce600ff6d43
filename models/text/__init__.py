"""Training, publishing and explaining classifiers of texts; :mod:`features.text` applies them."""
