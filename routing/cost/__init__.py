"""Cost: prices and limits as versions (`policy`), what was spent (`spend`), a process's meter."""
