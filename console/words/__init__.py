"""The words of the console in English and Chinese: messages, numbers, money and dates."""
