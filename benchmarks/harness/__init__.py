"""Shared by the benchmarks: homes, servers, load, rounds and reports."""
