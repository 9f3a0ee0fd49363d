"""What the workflows take: tables, recordings and runs, found and checked."""
