"""Live features: recomputes the online rows of customers that events touch."""
