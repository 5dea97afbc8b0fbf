"""Small configs beside the data, made of the same patches: pictures, index, statistics."""
