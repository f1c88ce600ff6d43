"""Charts as SVG, drawn on the server; colours and type come from the style sheet by class."""
