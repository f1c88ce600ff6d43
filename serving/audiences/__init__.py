"""The routes of audiences."""
