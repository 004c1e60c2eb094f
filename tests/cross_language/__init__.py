"""The three SDKs beside one another on real servers."""
