"""What backends are shown and who may call: files that are followed, and tokens that are fetched ahead of need."""
