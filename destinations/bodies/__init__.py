"""The bodies of outbound messages: a module for each form, and a table of them. Nothing is sent here.

`subjects` knows what kinds of messages there are; the forms ask it, and so serve them all.
"""
