"""The HTTP edge: REST calls by the contract's http options, the dashboard, sign-in, probes and metrics."""
