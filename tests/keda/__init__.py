"""Relay's workers scaled as KEDA and Kubernetes would scale them; the autoscaler is ours, everything else is real."""
