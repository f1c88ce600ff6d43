"""Reports on a model: early warning, shared traits, stability and lead quality."""
