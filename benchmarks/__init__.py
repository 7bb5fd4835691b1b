"""What segflow costs and takes in, measured: the documentation's figures come from here."""
