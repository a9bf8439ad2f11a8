"""Images that the program draws itself, with the truth about each of them kept beside it."""
