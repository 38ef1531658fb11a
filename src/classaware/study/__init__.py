"""Studies: a grid of trainings over data sets, networks, variants and seeds, and what they show."""
