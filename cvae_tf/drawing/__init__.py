"""Pictures with axes, mosaics, PNG and GIF."""
