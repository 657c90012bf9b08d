"""One module for each command, named like it: each parses its options, calls the library, and prints."""
