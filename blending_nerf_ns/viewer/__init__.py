"""What the web viewer shows: it reads and sets plain state, which the next render or training step applies."""
