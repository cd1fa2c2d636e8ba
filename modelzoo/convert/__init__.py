"""Networks from foreign files, and into foreign formats."""
