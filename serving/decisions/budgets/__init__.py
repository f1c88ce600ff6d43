"""What decisions read of budgets and released plans."""
