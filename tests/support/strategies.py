"""What hypothesis draws for more than one test."""

from dataclasses import replace

from hypothesis import strategies as st

from pipeline.config.settings import Exponential, RetrySpec
from pipeline.retry import policy

specs = st.one_of(
    st.sampled_from([RetrySpec(name=name) for name in ("default", "standard", "svix", "fast")]),
    st.lists(st.floats(0.001, 10**5), max_size=6).map(lambda waits: RetrySpec(waits=tuple(waits))),
    st.integers(1, 8).map(lambda tries: RetrySpec(exponential=Exponential(base=2.0, attempts=tries))),
)
policies = st.tuples(specs, st.none() | st.floats(1, 10**6)).map(lambda pair: policy(replace(pair[0], max_age=pair[1])))
"""Policies for trying again: all that have a name, and any that a configuration may hold."""
