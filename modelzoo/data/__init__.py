"""Data sets and pictures, and the batches that networks are trained and scored on."""
