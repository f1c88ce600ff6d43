"""The catalogue of a home: its actions and channels, and the file that declares them."""
