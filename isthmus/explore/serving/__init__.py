"""The web server of the page: addresses, connections, and who may ask."""
