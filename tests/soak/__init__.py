"""What must not grow: memory under streams that come and go, slow readers, idle streams and finished jobs."""
