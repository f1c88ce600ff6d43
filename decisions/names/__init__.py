"""Names of things in Chinese: countries, currencies, channels, groups of actions, and what models answer."""
