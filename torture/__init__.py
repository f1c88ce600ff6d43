"""Tests that take too long for the test suite: killed processes, and malformed requests."""
