"""The verbs; no logic."""
