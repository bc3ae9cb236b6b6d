"""Evaluation: one checkpoint, or each as training writes it."""
