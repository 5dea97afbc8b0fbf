"""The way to servers and back: the published files, a dataset, a model, and the card that goes with them."""
