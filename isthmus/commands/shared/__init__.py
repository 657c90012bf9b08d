"""What the commands share: options, models and folders of results, previews and tables."""
