"""Documents to tokens to batches: tokenizer, token shards, mixture, the stateless batch function."""
