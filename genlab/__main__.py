"""`python -m genlab`."""

from genlab.cli.app import main

main()
