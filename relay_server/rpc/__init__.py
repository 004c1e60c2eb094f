"""The gRPC edge: parses, asks the engine, replies. It decides nothing about jobs."""
