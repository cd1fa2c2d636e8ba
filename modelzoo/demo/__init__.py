"""The page on which a person draws a digit and watches a network answer: `modelzoo demo`."""
