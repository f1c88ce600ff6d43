"""What the files of a home declare as features of customers: traits, and SQL aggregates."""
