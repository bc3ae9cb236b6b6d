"""Classification of image files without labels: predict.py."""
