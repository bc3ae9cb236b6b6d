"""How an encoded image becomes a network's input: one recipe per file."""
