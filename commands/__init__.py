"""The command line: a module per noun, a function per verb, heavy imports inside them."""
