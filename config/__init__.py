"""Settings from the environment."""

from config.config import ConfigError, Settings

__all__ = ["ConfigError", "Settings"]
