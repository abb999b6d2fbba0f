"""The public bulletin board."""
