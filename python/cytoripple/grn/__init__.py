"""Spatial gene regulatory networks: modulators, design, training."""
