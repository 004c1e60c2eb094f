"""The broker: serves the Relay contract over gRPC and HTTP, on Redis."""

__version__ = "0.1.0"
