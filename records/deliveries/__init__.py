"""Deliveries: files of recommendations that are made each day, put into a folder or sent to an address."""
