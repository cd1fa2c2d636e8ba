"""Custom Keras layers, one a file, named as in the paper that they come from."""
