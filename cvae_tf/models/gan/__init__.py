"""Generative adversarial networks: Goodfellow et al., "Generative adversarial nets" (2014)."""
