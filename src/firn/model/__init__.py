"""The transformer, its objectives and generation; Hugging Face folders read and written."""
