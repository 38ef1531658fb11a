"""From a public data set's archives to a folder that everything else reads (``prepare.py``)."""
