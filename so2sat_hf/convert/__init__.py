"""From the published HDF5 files to typed shards, and back to prove it."""
