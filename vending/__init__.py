"""The rules of prepaid vending, pure: money, units, tariffs, the quote, the life of a sale. No I/O of any kind."""
