"""How far drawn images are from real ones: features of images, and distances between their sets."""
