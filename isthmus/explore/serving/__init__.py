"""The web server of the page: addresses, connections, who may ask, and what goes over the wire."""
