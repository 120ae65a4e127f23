"""`python -m ratereg`."""

from ratereg.cli import main

main()
