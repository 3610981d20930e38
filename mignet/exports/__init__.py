"""What hands the fleet over to machines that run without a person: an operator, a CI."""
