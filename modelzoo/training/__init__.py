"""A training from its configuration to its report, on one device or several."""
