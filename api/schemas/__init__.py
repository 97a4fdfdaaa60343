"""Response bodies: the fields a client may see, and no others."""
