"""Who visits the console: sign-in, sessions and the protection of forms."""
