"""Preprocessings, which turn encoded images into a network's input; augmentations."""
