"""Settings from the environment."""

from config.config import ConfigError, Settings, database_from_env

__all__ = ["ConfigError", "Settings", "database_from_env"]
