"""What changes the database: each function is the body of one transaction on the writer, with its SQL beside it."""
