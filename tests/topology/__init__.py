"""Relay on Sentinels and clusters while primaries fail and slots move."""
