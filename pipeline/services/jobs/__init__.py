"""Jobs on their way: taken in, run, expired, and what callers and operators ask of them."""
