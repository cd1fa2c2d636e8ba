"""The page on which a person draws a digit and watches a network answer: `modelzoo demo`."""

MAX_FILE_BYTES = 20_000_000  # of an image that is put on the page
