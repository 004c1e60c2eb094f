"""A browser's sign-in, and the credential of any HTTP request."""
