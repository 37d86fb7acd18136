"""Kinds of destinations from other packages: how they are found and checked, and kept from harming the service."""
