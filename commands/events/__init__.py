"""Commands for events and the customers whom they name."""
