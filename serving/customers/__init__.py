"""The routes of customers: lists, portraits and timelines."""
