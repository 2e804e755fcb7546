"""What can be measured about a failure. Each file is one measurement: a function of the inquest with a frozen
result."""
