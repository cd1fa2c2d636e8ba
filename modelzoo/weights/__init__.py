"""Files of weights: found, fetched, checked, read, made small and published."""
