"""Attention: one formula per file, one table, one way into a network."""
