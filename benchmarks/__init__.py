"""Benchmarks: workloads on a real server, behind `make bench`. Numbers are comparable within one run only."""
