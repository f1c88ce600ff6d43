"""The Segment protocol: translates messages into events; keeps those that cannot be used."""
