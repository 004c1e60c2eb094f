"""The HTTP edge: health, metrics and a page of links, on the listener of `--http`."""
