"""What changed between two runs of labels, pixel by pixel."""
