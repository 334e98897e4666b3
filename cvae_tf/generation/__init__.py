"""What `generate.py` makes, by mode."""
