"""The pages a person looks at: the run report."""
