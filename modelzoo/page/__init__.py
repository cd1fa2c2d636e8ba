"""The page on which a person draws a digit and sees what networks predict: `modelzoo demo`."""
