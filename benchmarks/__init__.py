"""The same work side by side: for a checkout, not installed."""
