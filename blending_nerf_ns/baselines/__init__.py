"""What our edits are compared with, in the same frame: a base fine-tuned whole, and our model with one idea taken out."""
