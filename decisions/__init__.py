"""What to do for a customer: actions and their rules, and the policy that chooses among them."""
