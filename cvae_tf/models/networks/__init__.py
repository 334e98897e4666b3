"""Encoders and decoders, a file for each kind."""
