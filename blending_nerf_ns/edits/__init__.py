"""What a user makes and keeps: regions, the field in one, layers and their stack, and the files of edits."""
