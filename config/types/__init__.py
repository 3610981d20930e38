"""What models are made of: their base, and the words of the field as types. Imports config.finding alone."""
