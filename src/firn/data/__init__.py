"""Raw input to documents to kept documents: sources, extraction, language, signals and rules, deduplication."""
