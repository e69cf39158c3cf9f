"""How good a text is, as a model tells it that learned from good and bad ones: training, evaluation, and the stages."""
