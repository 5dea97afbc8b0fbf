"""Patches and models on the ground: GeoTIFFs, neighbours, honest splits, maps."""
