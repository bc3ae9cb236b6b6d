"""Checkpoints: finding, comparing with a network, restoring."""
