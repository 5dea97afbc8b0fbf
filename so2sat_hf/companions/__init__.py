"""Small configs beside the data, made of the same patches: pictures, index, a mini one; and statistics."""
