"""What ``classaware predict`` is made of: which images, and the folder of its results."""
