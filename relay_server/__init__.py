"""The broker: serves the Relay contract over gRPC and HTTP, on Redis."""
