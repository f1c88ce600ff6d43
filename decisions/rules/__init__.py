"""Rules: which customers an action or an audience is for."""
