"""What is shown of records: functions from records to text, pages and pictures; the caller writes the files."""
