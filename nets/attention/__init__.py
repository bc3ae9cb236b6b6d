"""Attention modules: one formula per file, a table, and their insertion."""
