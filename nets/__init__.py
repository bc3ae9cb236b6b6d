"""Networks: one file per family, each of which ends with its specs."""
