"""Propensity per product category: which categories does a customer order of soon?"""
