"""What is measured, how, and beside which goal. Never part of the tests: machines are noisy."""
