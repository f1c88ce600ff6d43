"""Products that customers buy next: association rules, and a ranking per customer."""
