"""Readers of files and database tables: every format as one relation of texts."""
