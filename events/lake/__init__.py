"""The lake: versioned Parquet of everything that was compacted or imported."""
