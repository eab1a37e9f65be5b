"""Images and texts to losses: CLIP, prompts, crops, views. Knows no field and renders nothing."""
