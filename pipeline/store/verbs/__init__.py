"""The verbs of `Store`, by noun; what `Store` says of verbs holds here."""
