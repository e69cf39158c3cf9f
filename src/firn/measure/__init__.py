"""What a model is: bits per byte, and how it stands beside compressors and smaller models."""
