"""What comes in: feeds are read, structured rows checked, arrivals weighed, held rows released by a person."""
