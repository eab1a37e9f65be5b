"""What a person does with a run while it lives. Nothing here knows a widget."""
