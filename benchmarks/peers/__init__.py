"""What this project is measured against: the same work as others do it, and the least work there is."""
