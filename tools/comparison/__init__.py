"""Comparison of attention modules: compare_attention.py."""
