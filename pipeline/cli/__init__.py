"""The command line: `commands` has one file for each; what they share stands beside them."""
