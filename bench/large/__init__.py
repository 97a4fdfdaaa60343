"""The same requests to a small school and to a large one: neither may be slower."""
