"""Runs about runs: comparison."""
