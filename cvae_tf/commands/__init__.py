"""The commands: the flags of each, and the one function that it calls."""
