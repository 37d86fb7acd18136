"""The HTTP side: routes, one file for each resource, problems, access. It asks the store and the intake, and decides
nothing.
"""
