"""Run the command line as `python -m glissade`."""

from glissade.cli import main

if __name__ == "__main__":
    main()
