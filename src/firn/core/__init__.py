"""What all rooms stand on: document schema, shard store, ledger, engine, hashing, errors, progress."""
