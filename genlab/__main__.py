"""`python -m genlab`."""

from genlab.cli.app import main

# Tools that import every module, such as the docs build, must not start the command.
if __name__ == "__main__":
    main()
