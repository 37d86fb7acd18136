"""The kind `email`: mails over SMTP."""
