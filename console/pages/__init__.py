"""The pages, each a module with its template and its messages."""
