"""What a customer buys next: association rules, and products ranked for each customer."""
