"""The checks that a request must pass before anybody works for it, and the answer to one that does not pass."""
