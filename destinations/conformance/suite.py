"""All checks together."""

from destinations.conformance.of_sending import OfSending
from destinations.conformance.of_settings import OfSettings
from destinations.conformance.of_trouble import OfTrouble


class DestinationConformance(OfSettings, OfSending, OfTrouble):
    """Give `kind` and `receiver` (and `bad_options`, where the kind refuses some by itself) in a class of your own, and
    have pytest find it: each of its tests is one thing that holds of every kind of destination.
    """
