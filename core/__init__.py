"""The ground of every package: home, clock, settings, errors, storage and child processes."""
