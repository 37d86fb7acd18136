"""What `sendoff doctor` looks at: the software, the machine, the store's disk, the port, the configuration and the
functions. Nothing here changes any of them; what has to be tried is tried beside them.
"""
