"""The command line: a module per noun, a function per verb; heavy imports are inside the functions."""
