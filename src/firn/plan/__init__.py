"""Before the run: FLOPs, memory, time; what a recipe will cost."""
