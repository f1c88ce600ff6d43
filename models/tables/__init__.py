"""Models of a company's own table."""
