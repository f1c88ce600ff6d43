"""Plans: a decision for everybody at once, under budgets and capacities."""
