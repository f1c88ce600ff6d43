"""The routes of the catalogue of actions."""
