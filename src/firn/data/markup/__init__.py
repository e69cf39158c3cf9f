"""Parsers of clean markup: papers and books as text, nothing of them lost. Pure functions of bytes or text."""
