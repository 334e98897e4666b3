"""How many steps refine a posterior; known without TensorFlow."""

DEFAULT, MOST = 5, 1000
