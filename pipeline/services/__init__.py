"""The services that move jobs and deliveries on; each is woken by its neighbours and trusts only what the store
says.
"""
