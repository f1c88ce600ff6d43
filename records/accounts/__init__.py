"""The accounts of the console's users, and their sessions."""
