"""What customers write: whether they are content, what about, and the words that say so."""
