"""The HTTP listeners: connections and their limits, security headers, static files, probes, metrics."""
