"""Plots of a run: training curves and confusion matrix."""
