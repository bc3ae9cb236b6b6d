"""Training: the step, its hooks, and the loop around them."""
