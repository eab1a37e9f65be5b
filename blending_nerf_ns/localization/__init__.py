"""2D evidence of where the source text is, and its fusion into a 3D region."""
