"""Attacks on a server with tokens and TLS, and what a tenant that does nothing wrong feels of them."""
