"""What hepsw tells about itself: logs, reports, changed files noticed."""
