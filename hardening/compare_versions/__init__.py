"""Compare what two versions of the package print and write."""
