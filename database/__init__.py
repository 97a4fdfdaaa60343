"""Everything about the database that is not a query: its files, and its server."""
