"""Problems that are solved for one sample at a time, but all at once."""
