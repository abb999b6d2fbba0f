"""The ground floor: errors, keys, wire format, settings, web kit and the one command line."""
