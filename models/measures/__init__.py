"""Measures of models: ranking, calibration, drift and resampling."""
