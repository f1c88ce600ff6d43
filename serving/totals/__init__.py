"""What customers are expected to do and to bring: totals of segments and of the whole shop."""
