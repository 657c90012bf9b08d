"""The commands that work on one model: each parses its options, calls the library, and prints."""
