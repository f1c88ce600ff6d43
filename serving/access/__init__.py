"""Access: keys, scopes, limits and authentication."""
