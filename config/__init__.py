"""Settings from the environment."""

from config.config import ConfigError, Settings, database_from_env, read_policy

__all__ = ["ConfigError", "Settings", "database_from_env", "read_policy"]
