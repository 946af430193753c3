"""Files that programs of others read: captures and JSON lines."""
