"""A network becomes a file that runs without this package; what that file answers is checked."""
