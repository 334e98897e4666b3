"""What all packages here may use: files, messages, random numbers, settings, threads."""
