"""The program's own commands, run in processes of their own so that the window never waits."""
