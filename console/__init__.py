"""The console: pages for people. They read through the services of the API and compute nothing themselves."""
