"""The routes of next best actions, outcomes and recommendation runs."""
