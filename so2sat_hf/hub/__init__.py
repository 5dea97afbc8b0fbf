"""The way to servers and back: fetch the published files."""
