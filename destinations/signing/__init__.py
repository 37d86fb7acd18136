"""Signatures of webhooks: made, verified, diagnosed; and the keys that they are made with."""
