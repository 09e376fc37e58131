"""Records: what is kept, in parts; `models` is the door to them."""
