"""What a study says: its TOML, parsed and checked into a `Study`."""
