"""Attention modules, one formula per file, and attend(), their one door."""
