"""Shared by the commands: options, folders of results, previews and tables."""
