"""Policies that come before arbitration: contact limits, consent, suppression and quiet hours."""
