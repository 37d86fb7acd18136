"""Templates that an operator writes, in a sandbox, with bounded output."""
