"""One file per released schema; a file that was released is never changed."""
