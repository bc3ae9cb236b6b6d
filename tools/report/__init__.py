"""A run as one page: report.py."""
