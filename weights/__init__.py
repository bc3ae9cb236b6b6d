"""Weights of other projects, converted to the networks' variables."""
