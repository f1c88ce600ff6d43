"""The judgement of an import: a summary by month, and warnings."""
