"""What a text says: its words, topics, and how content a classifier takes its author to be."""
