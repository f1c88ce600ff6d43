"""What an action is worth for a customer, within one horizon of the shop."""
