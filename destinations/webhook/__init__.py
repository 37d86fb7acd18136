"""The kind `webhook`: signed HTTP requests to one URL."""
