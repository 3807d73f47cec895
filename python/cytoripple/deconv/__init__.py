"""Cell types of spots from a single-cell reference."""
