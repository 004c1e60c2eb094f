"""What a server reports about itself: metrics, logs and trace context."""
