"""Pages of groups of customers: segments, audiences, cohorts."""
