"""The connections of an HTTP listener: how many there may be, how long each may wait, and which one makes room."""
