"""Commands for analyses: data for other tools, key figures, cohorts."""
