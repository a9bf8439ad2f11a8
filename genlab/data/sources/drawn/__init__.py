"""Images that the program draws itself, with all factors of each image as attributes."""
