"""What the command line and the Python API both do; no function here takes an argparse.Namespace."""
