"""The audit log: who changed what, and who looked at which customer."""
