"""Data sets and images, and the batches that networks are trained and scored on."""
