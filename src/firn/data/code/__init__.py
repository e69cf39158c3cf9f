"""What is known of a source file: its language, its licence, and what it needs of its neighbours."""
