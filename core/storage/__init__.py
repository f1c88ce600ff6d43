"""Storage engines: the shop's database by SQLAlchemy, SQLite files and DuckDB."""
