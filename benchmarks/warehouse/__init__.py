"""A build in PostgreSQL against one from files; see :mod:`benchmarks.warehouse.__main__`."""
