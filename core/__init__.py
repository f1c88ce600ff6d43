"""The foundation of all packages: home, clock, settings, errors, storage and child processes."""
