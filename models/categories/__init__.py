"""Propensity per product category: which categories a customer will order from soon."""
