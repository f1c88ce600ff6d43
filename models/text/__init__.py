"""How a classifier of texts learns, is published and gives its reasons; features.text is what reads."""
