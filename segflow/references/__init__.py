"""References: scored images whose counts a bundle keeps, and areas adjusted by them."""
