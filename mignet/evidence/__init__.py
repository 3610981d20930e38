"""What clusters held, kept or found in files, for a look later and elsewhere: archives, and folders of must-gather."""
