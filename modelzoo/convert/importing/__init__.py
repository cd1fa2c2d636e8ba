"""An old .h5 file becomes a YAML and weights: read as plain data, recognised, tried, written."""
