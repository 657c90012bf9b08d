"""Commands that hand models to other programs and people, and take theirs."""
