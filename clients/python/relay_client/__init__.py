"""The Python SDK: what a producer or worker needs to talk to a Relay server."""
