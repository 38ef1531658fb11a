"""Running the cells of a study, and writing what they show."""
