"""Frozen nerfstudio models that an edit is blended into: the protocol, nerfacto, and finished runs of it."""
