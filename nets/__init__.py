"""WHAT is computed: one file per network family, each ending in its specs."""
