"""Score jobs: everybody's scores in the background."""
