"""Every attack on the evidence, made for real, and what finds it: `script/tamper`."""
