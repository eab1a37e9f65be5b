"""Images and texts to losses: CLIP, prompts, crops, views. Knows nothing of fields and rendering (design section 4)."""
