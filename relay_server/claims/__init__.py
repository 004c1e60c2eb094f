"""Claims: workers' sessions, how free slots are shared, who claims when, and how jobs reach their streams."""
