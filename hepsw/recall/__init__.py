"""Reading calls back from stores, and drawing them."""
