"""What every room may use: errors, files, random numbers, threads; nothing of images or models."""
