"""The recipe (one typed tree), the stage graph, resume."""
