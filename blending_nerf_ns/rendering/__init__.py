"""Pure torch: blend a base and an editable field per sample, split intervals, composite once."""
