"""What benchmarks/accuracy.py is made of: the methods, their runs, what a budget pays for, the table and the figure."""
