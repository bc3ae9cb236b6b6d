"""Grad-CAM and spatial gates of a trained network: visualize_attention.py."""
