"""Which labels are wrong, and whether the list can be believed."""
