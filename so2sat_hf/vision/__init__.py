"""What a vision model eats: presets, collators, the transform on the device, processors, N-band models."""
