"""Files that people download: tables, exports and spreadsheets."""
