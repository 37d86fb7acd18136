"""The receiver of `sendoff listen`: how it answers, what it makes of webhooks and mails, and the sockets."""
