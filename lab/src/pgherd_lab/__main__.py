"""`python -m pgherd_lab` is `pgherd-lab`."""

from pgherd_lab.cli import main

if __name__ == "__main__":
    main()
