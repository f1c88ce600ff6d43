"""What takes too long for the tests: processes killed at random, and nonsense at length."""
