"""What operators see: metrics and logs, as implementations of the hooks the rims call."""
