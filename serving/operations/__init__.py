"""The routes of health, metrics and monitoring, and the doctor's checks."""
