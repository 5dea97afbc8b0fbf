"""From a built folder to patches in memory."""
