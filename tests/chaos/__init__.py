"""Real processes under random faults, and the scripted shows of the same."""
