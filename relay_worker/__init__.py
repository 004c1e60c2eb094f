"""The worker runtime: claims jobs from a Relay server and runs their handlers."""
