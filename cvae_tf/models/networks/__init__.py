"""Encoders and decoders, a file for each kind; `building.py` is what they are built from.

A network of your own: a function `build(plan) -> Networks` in a file here, as `tutorial.py` has it,
and a line in `registry.NETWORKS`.
"""
