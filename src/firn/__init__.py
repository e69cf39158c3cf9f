"""firn: from raw data to an evaluated base model, with every token accounted for."""

__version__ = "0.1.0"
