"""The wire: outbound connections, guarded where they are dialled, and requests over them."""
