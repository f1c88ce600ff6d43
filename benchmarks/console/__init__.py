"""How fast the console's pages are in a shop of a million customers."""
