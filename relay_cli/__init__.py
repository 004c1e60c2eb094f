"""The `relay` command: what producers and operators do from a terminal."""
