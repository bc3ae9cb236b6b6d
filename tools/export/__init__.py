"""Exports trained networks for other runtimes."""
