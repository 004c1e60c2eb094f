"""The addresses that are no RPC: the dashboard's files, probes, metrics and a page of links."""
