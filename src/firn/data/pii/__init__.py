"""Personal data and secrets in documents: found, and replaced by typed placeholders or removed (docs/pii.md)."""
