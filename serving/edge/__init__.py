"""The edge of the service: what it requires of connections and requests before any route sees them."""
