"""Documents become tokens, and tokens become batches: tokenizer, token shards, mixture, the batch function."""
