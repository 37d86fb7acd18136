"""The configuration: YAML to validated, frozen values."""

from pipeline.config.load import Overrides, load_config
from pipeline.config.policies import parse_retry
from pipeline.config.secret import Secret

__all__ = ["Overrides", "Secret", "load_config", "parse_retry"]
