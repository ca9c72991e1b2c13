"""What to do about one object: values in, values out. No clock, no calls, no kopf."""
