"""What a study costs: steps that are measured, and what follows from them for hours, memory, bytes and nodes."""
