"""Who calls, what they may do, and how the wire is encrypted. Nothing here knows jobs, Redis or HTTP."""
