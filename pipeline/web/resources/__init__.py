"""What there is to read and to ask of what the service has: one file for each resource."""
