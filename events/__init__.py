"""What customers did: schema, identity, journal, lake, files, the Segment protocol and simulation."""
