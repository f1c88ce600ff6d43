"""Commands about actions and deliveries of decisions."""
