"""Storage engines: the shop's database (SQLAlchemy), SQLite files and DuckDB."""
