"""`python -m genlab`."""

from genlab.cli import main

main()
