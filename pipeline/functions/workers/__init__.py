"""The worker programs, one folder of standard-library files for each language; the service imports none of them."""
