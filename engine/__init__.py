"""Training, evaluation and what they share."""
