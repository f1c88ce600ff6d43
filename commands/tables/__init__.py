"""Commands about a company's own tables."""
