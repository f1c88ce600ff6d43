"""The questions about customers, and the mathematics that answers them."""
