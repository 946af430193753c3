"""PostgreSQL, in the layout of HOMER 7 or in one of our own."""
