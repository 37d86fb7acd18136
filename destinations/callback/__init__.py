"""The kind `callback`: webhooks to URLs that callers named, behind an allow-list."""
