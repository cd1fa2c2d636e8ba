"""What every room uses: errors, files, the terminal, the environment."""
